/** One trial of flipped-bytes.ts: node flipped-child.js FOLDER, what must be there on standard input, the outcome on standard output. */
import { text } from 'node:stream/consumers';
import { scrubbed, type Truth } from './flipped-bytes.ts';

const truth = JSON.parse(await text(process.stdin)) as Truth;
process.stdout.write(JSON.stringify(await scrubbed(process.argv[2]!, truth)));
