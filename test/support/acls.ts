import { ACL_TAG, ACL_UNDEFINED_ID, type Acl, type AclEntry } from '../../src/core/namespace/posix-acl.ts';

export function entry(tag: number, perm: number, id: number = ACL_UNDEFINED_ID): AclEntry {
  return { tag, perm, id };
}

const TAGS: Readonly<Record<string, readonly [plain: number, named: number]>> = {
  u: [ACL_TAG.USER_OBJ, ACL_TAG.USER],
  g: [ACL_TAG.GROUP_OBJ, ACL_TAG.GROUP],
  m: [ACL_TAG.MASK, ACL_TAG.MASK],
  o: [ACL_TAG.OTHER, ACL_TAG.OTHER],
};

/** A list in the short text form of acl(5) with numbers for names, in the order given: `u::rw-,u:7:r--,g::r--,m::r--,o::---`. */
export function acl(text: string): Acl {
  return text.split(',').map((part) => {
    const [kind = '', id = '', permissions = ''] = part.split(':');
    const tags = TAGS[kind];
    if (tags === undefined || !/^[r-][w-][x-]$/.test(permissions)) throw new Error(`not an entry: ${part}`);
    const perm = [...permissions].reduce((bits, letter) => bits * 2 + (letter === '-' ? 0 : 1), 0);
    return id === '' ? entry(tags[0], perm) : entry(tags[1], perm, Number(id));
  });
}
