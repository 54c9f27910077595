/** The part of fuse-native 2.2.6 that the adapter uses, underscored internals included; see binding.ts for why. */
declare module 'fuse-native' {
  /** Tells the native side the result of one operation. */
  export type Signal = (result: number, ...values: unknown[]) => void;
  type NativeHandler = (native: Buffer, opcode: number, ...args: unknown[]) => void;

  class Fuse {
    constructor(directory: string, operations: object, options: object);
    mount(done: (error: Error | null) => void): void;
    unmount(done: (error: Error | null) => void): void;
    static unmount: (directory: string, done: (error: Error | null) => void) => void;
    protected _handlers: NativeHandler[];
    protected _op_fgetattr(signal: Signal, path: string, fd: number): void;
    protected _op_getxattr(signal: Signal, path: string, name: string, buffer: Buffer): void;
    protected _op_listxattr(signal: Signal, path: string, buffer: Buffer): void;
  }
  export default Fuse;
}
