import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { toHex } from '../../../../src/base/bytes.ts';
import { ACL_ENTRIES_MAX } from '../../../../src/base/limits.ts';
import {
  ACL_TAG,
  ACL_UNDEFINED_ID,
  type Acl,
  type AclEntry,
  aclKindOf,
  chmodAcl,
  formatAcl,
  inheritAcl,
  isMinimal,
  modeOf,
  parseAcl,
} from '../../../../src/core/namespace/posix-acl.ts';
import { acl, entry } from '../../../support/acls.ts';
import { bytes } from '../../../support/namespace-ops.ts';

const { USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER } = ACL_TAG;

test('the format is that of linux/posix_acl_xattr.h', () => {
  const list = acl('u::rw-,u:1000:r-x,g::r--,m::rwx,o::---');
  const expected =
    '02000000' +
    '01000600ffffffff' +
    '02000500e8030000' +
    '04000400ffffffff' +
    '10000700ffffffff' +
    '20000000ffffffff';
  assert.equal(toHex(formatAcl(list)), expected);
  assert.deepEqual(parseAcl(formatAcl(list)), list);
});

test('what only unnamed entries have as an identifier means nothing', () => {
  const value = formatAcl(acl('u::rw-,g::r--,o::---'));
  value.fill(7, 8, 12);
  assert.deepEqual(parseAcl(value), acl('u::rw-,g::r--,o::---'));
});

test('a list without entries is none', () => {
  assert.equal(parseAcl(Uint8Array.of(2, 0, 0, 0)), undefined);
});

test('what is no list is refused as by Linux', () => {
  const code = (value: Uint8Array): unknown => {
    try {
      return parseAcl(value);
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  assert.equal(code(new Uint8Array(0)), 'EINVAL');
  assert.equal(code(Uint8Array.of(2, 0, 0)), 'EINVAL');
  assert.equal(code(Uint8Array.of(1, 0, 0, 0)), 'EOPNOTSUPP');
  assert.equal(code(formatAcl(acl('u::rw-,g::r--,o::---')).subarray(0, 27)), 'EINVAL');
  const refused: Record<string, Acl> = {
    'no owner': acl('g::r--,o::---'),
    'no group': acl('u::rw-,o::---'),
    'no others': acl('u::rw-,g::r--'),
    'two owners': acl('u::rw-,u::r--,g::r--,o::---'),
    'two masks': acl('u::rw-,g::r--,m::r--,m::rw-,o::---'),
    'named without a mask': acl('u::rw-,u:1:r--,g::r--,o::---'),
    'named group without a mask': acl('u::rw-,g::r--,g:1:r--,o::---'),
    'out of order': acl('u::rw-,g::r--,u:1:r--,m::r--,o::---'),
    'mask last': acl('u::rw-,g::r--,o::---,m::r--'),
    'no such tag': [...acl('u::rw-,g::r--'), entry(0x40, 0)],
    'two tags in one': [entry(USER_OBJ | USER, 6), ...acl('g::r--,m::r--,o::---')],
    'no such permission': [entry(USER_OBJ, 8), ...acl('g::r--,o::---')],
    nobody: [entry(USER_OBJ, 6), entry(USER, 4, ACL_UNDEFINED_ID), ...acl('g::r--,m::r--,o::---')],
  };
  for (const [why, list] of Object.entries(refused)) assert.equal(code(formatAcl(list)), 'EINVAL', why);
  assert.notEqual(code(formatAcl(acl('u::rw-,g::r--,m::r--,o::---'))), 'EINVAL', 'a mask alone');
});

test('the number of entries is bounded by what the kernel can read', () => {
  const list = (named: number): Acl => [
    entry(USER_OBJ, 6),
    ...Array.from({ length: named }, (_, i) => entry(USER, 4, i)),
    ...acl('g::r--,m::r--,o::---'),
  ];
  assert.equal(parseAcl(formatAcl(list(ACL_ENTRIES_MAX - 4)))?.length, ACL_ENTRIES_MAX);
  assert.equal(formatAcl(list(ACL_ENTRIES_MAX - 4)).length <= 4096, true);
  assert.throws(() => parseAcl(formatAcl(list(ACL_ENTRIES_MAX - 3))), { code: 'E2BIG' });
});

test('the names of the two attributes', () => {
  assert.equal(aclKindOf(bytes('system.posix_acl_access')), 'access');
  assert.equal(aclKindOf(bytes('system.posix_acl_default')), 'default');
  assert.equal(aclKindOf(bytes('system.posix_acl_accesss')), undefined);
  assert.equal(aclKindOf(bytes('user.a')), undefined);
});

test('the examples of acl(5)', () => {
  const list = acl('u::rw-,u:7:rw-,g::r--,m::r--,o::r--');
  assert.equal(modeOf(list), 0o644);
  assert.deepEqual(chmodAcl(list, 0o750), acl('u::rwx,u:7:rw-,g::r--,m::r-x,o::---'));
  assert.deepEqual(chmodAcl(acl('u::rw-,g::r--,o::r--'), 0o101), acl('u::--x,g::---,o::--x'));
  assert.deepEqual(inheritAcl(acl('u::rwx,u:7:rwx,g::r-x,m::rwx,o::---'), 0o100644), {
    mode: 0o100640,
    access: acl('u::rw-,u:7:rwx,g::r-x,m::r--,o::---'),
  });
  assert.deepEqual(inheritAcl(acl('u::rwx,g::rwx,o::---'), 0o43755), { mode: 0o43750, access: undefined });
});

// Against the rules of acl(5), restated entry by entry ----------------------------------------------------------

const permission = fc.integer({ min: 0, max: 7 });
const named = fc.array(fc.tuple(permission, fc.integer({ min: 0, max: 0xffff_fffe })), { maxLength: 4 });
const anyAcl: fc.Arbitrary<Acl> = fc
  .record({
    owner: permission,
    users: named,
    group: permission,
    groups: named,
    mask: fc.option(permission),
    other: permission,
  })
  .map(({ owner, users, group, groups, mask, other }) => {
    const needed = users.length + groups.length > 0;
    return [
      entry(USER_OBJ, owner),
      ...users.map(([perm, id]) => entry(USER, perm, id)),
      entry(GROUP_OBJ, group),
      ...groups.map(([perm, id]) => entry(GROUP, perm, id)),
      ...(mask === null ? (needed ? [entry(MASK, 7)] : []) : [entry(MASK, mask)]),
      entry(OTHER, other),
    ];
  });
const anyMode = fc.integer({ min: 0, max: 0o7777 });
const permOf = (list: Acl, tag: number): number | undefined => list.find((e) => e.tag === tag)?.perm;
const groupClass = (list: Acl): number => permOf(list, MASK) ?? permOf(list, GROUP_OBJ)!;

/** acl(5), "access check algorithm", for a process with one user and some groups. */
function access(list: Acl, owner: number, group: number, uid: number, gids: readonly number[]): number {
  if (uid === owner) return permOf(list, USER_OBJ)!;
  const mask = permOf(list, MASK) ?? 7;
  const user = list.find((e) => e.tag === USER && e.id === uid);
  if (user) return user.perm & mask;
  const ofGroups = list.filter(
    (e) => (e.tag === GROUP_OBJ && gids.includes(group)) || (e.tag === GROUP && gids.includes(e.id)),
  );
  if (ofGroups.length > 0) return ofGroups.reduce((all, e) => all | e.perm, 0) & mask;
  return permOf(list, OTHER)!;
}

test('a valid list survives the format, and its mode is that of its classes', () => {
  fc.assert(
    fc.property(anyAcl, (list) => {
      assert.deepEqual(parseAcl(formatAcl(list)), list);
      const classes = [permOf(list, USER_OBJ)!, groupClass(list), permOf(list, OTHER)!];
      assert.equal(modeOf(list).toString(8).padStart(3, '0'), classes.join(''));
      assert.equal(
        isMinimal(list),
        list.every((e) => ([USER_OBJ, GROUP_OBJ, OTHER] as number[]).includes(e.tag)),
      );
    }),
  );
});

test('chmod sets the three classes and nothing else, and nobody has more than the mode says', () => {
  fc.assert(
    fc.property(anyAcl, anyMode, fc.nat(5), fc.nat(5), (list, mode, uid, gid) => {
      const changed = chmodAcl(list, mode);
      assert.equal(modeOf(changed), mode & 0o777);
      const shown = (e: AclEntry): boolean =>
        e.tag === USER_OBJ ||
        e.tag === OTHER ||
        e.tag === (permOf(list, MASK) === undefined ? GROUP_OBJ : MASK);
      assert.deepEqual(
        changed.map((e) => (shown(e) ? { ...e, perm: 0 } : e)),
        list.map((e) => (shown(e) ? { ...e, perm: 0 } : e)),
      );
      const granted = access(changed, 0, 0, uid, [gid]);
      const allowed = uid === 0 ? mode >> 6 : (mode >> 3) | mode;
      assert.equal(granted & ~allowed & 7, 0);
    }),
  );
});

test('what is inherited grants at most what the default list and the mode both grant', () => {
  fc.assert(
    fc.property(anyAcl, anyMode, fc.nat(5), fc.nat(5), (list, mode, uid, gid) => {
      const made = inheritAcl(list, 0o100000 | mode);
      assert.equal(made.mode & ~0o777, 0o100000 | (mode & 0o7000), 'type and special bits stay');
      const inherited = made.access ?? chmodAcl(list, made.mode);
      assert.equal(modeOf(inherited), made.mode & 0o777);
      assert.equal(made.access === undefined, isMinimal(list));
      for (const [shift, of] of [
        [6, (l: Acl) => permOf(l, USER_OBJ)!],
        [3, groupClass],
        [0, (l: Acl) => permOf(l, OTHER)!],
      ] as const) {
        assert.equal(of(inherited), of(list) & (mode >> shift));
      }
      const before = access(list, 0, 0, uid, [gid]);
      assert.equal(access(inherited, 0, 0, uid, [gid]) & ~before, 0);
      assert.deepEqual(parseAcl(formatAcl(inherited)), inherited);
    }),
  );
});
