import { type PosixCase, python } from './posix-case.ts';

/** What the programs share: `fails(errno, f, ...)`, `in_parallel(f, items)`, and `Libc` with errno as exceptions. */
export const PYTHON_PRELUDE = `
import ctypes, errno, fcntl, mmap, os, signal, stat, subprocess, sys
def fails(code, f, *args, **kwargs):
    try:
        f(*args, **kwargs)
    except OSError as e:
        assert e.errno == code, "%s, not %s" % (errno.errorcode.get(e.errno, e.errno), errno.errorcode[code])
        return
    raise AssertionError("should have failed with " + errno.errorcode[code])
def in_parallel(f, items, threads=16):
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(f, items): pass
class Libc:
    def __init__(self):
        self.dll = ctypes.CDLL(None, use_errno=True)
    def __getattr__(self, name):
        function = getattr(self.dll, name)
        def call(*args):
            result = function(*args)
            if result == -1:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
            return result
        return call
libc = Libc()
def write_file(path, content):
    with open(path, "wb") as f:
        f.write(content)
def read_file(path):
    with open(path, "rb") as f:
        return f.read()
def pattern(length, seed=1):
    return bytes((i * 31 + (i >> 8) * 17 + seed * 7) & 0xff for i in range(length))
`;

/** A case that is a Python program, run in the directory: Python has the system calls that Node lacks. */
export function pythonCase(
  name: string,
  program: string,
  conditions: Pick<PosixCase, 'needs' | 'root'> = {},
): PosixCase {
  return {
    name,
    commands: ['python3'],
    ...conditions,
    run: async (dir) => {
      await python(PYTHON_PRELUDE + program, dir);
    },
  };
}
