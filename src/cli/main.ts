import { main } from './program.ts';

// Who reads the answer may have read enough of it (`ringfs status | head -1`).
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

// The timers of the parts do not keep a process alive; what keeps this one is that its command has not ended.
const alive = setInterval(() => {}, 60_000);
const status = await main(process.argv.slice(2));
clearInterval(alive);
// A socket that still connects to a machine that is gone belongs to grpc-js, which has no way to give it up: it would keep this
// process for two minutes. Streams are written synchronously, except to a pipe that is full.
await new Promise((resolve) => process.stdout.write('', resolve));
process.exit(status);
