import fc from 'fast-check';

/** Steps of random users of a small tree, through either of two mounts. */

const path = fc.constantFrom('a', 'b', 'd', 'd/a', 'd/b', 'd/e', 'd/e/a', 'e', 'e/a');
const mount = fc.nat(1);
/** One of the open files. */
const pick = fc.nat(20);
const size = fc.oneof(fc.nat(30), fc.nat(300));
const attribute = fc.constantFrom('user.one', 'user.two');

const make = <T extends string, A extends object>(op: T, fields: { [K in keyof A]: fc.Arbitrary<A[K]> }) =>
  fc.record({ op: fc.constant(op), mount, ...fields }) as fc.Arbitrary<{ op: T; mount: number } & A>;

const [no, yesOrNo] = [fc.constant(false), fc.boolean()];

export const fileStep = fc.oneof(
  make('create', { path, excl: yesOrNo, truncate: yesOrNo, append: yesOrNo }),
  make('create', { path, excl: no, truncate: no, append: yesOrNo }),
  make('open', { path, truncate: yesOrNo, append: yesOrNo }),
  make('write', { pick, offset: size, length: size }),
  make('write', { pick, offset: size, length: size }),
  make('read', { pick, offset: size, length: size }),
  make('resize', { pick, size }),
  make('fsync', { pick }),
  make('close', { pick }),
);

export const nameStep = fc.oneof(
  make('mkdir', { path }),
  make('mkdir', { path }),
  make('rmdir', { path }),
  make('unlink', { path }),
  // 0, RENAME_NOREPLACE, RENAME_EXCHANGE
  make('rename', { path, to: path, flags: fc.constantFrom<0 | 1 | 2>(0, 0, 1, 2) }),
  make('link', { path, to: path }),
  make('symlink', { path }),
  make('chmod', { path, mode: fc.nat(0o777) }),
  make('chown', { path, uid: fc.nat(3), gid: fc.nat(3) }),
  make('utimes', { path, sec: fc.nat(1000) }),
  // 0, XATTR_CREATE, XATTR_REPLACE
  make('setxattr', { path, attribute, length: fc.nat(40), flags: fc.constantFrom(0, 1, 2) }),
  make('removexattr', { path, attribute }),
);

export const lookStep = fc.oneof(
  make('readPath', { path }),
  make('truncatePath', { path, size }),
  make('list', { path }),
  make('stat', { path }),
  make('getxattr', { path, attribute }),
  make('tick', {}),
);

type StepOf<A> = A extends fc.Arbitrary<infer T> ? T : never;
export type FileStep = StepOf<typeof fileStep>;
export type NameStep = StepOf<typeof nameStep>;
export type LookStep = StepOf<typeof lookStep>;
export type TreeStep = FileStep | NameStep | LookStep;

export const treeStep: fc.Arbitrary<TreeStep> = fc.oneof(
  { weight: 9, arbitrary: fileStep },
  { weight: 10, arbitrary: nameStep },
  { weight: 4, arbitrary: lookStep },
);
