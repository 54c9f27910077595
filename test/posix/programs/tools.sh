#!/bin/sh
# Tools that move trees on a RingFS: rsync -aHAX with --checksum, tar with sparse files, npm install, a parallel make, with the
# leader killed with SIGKILL in the middle of each.  Usage: tools.sh; see cluster.sh for the environment.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/cluster.sh"

FILES=${FILES:-3000}

need rsync:rsync tar:tar make:make gcc:gcc setfattr:attr npm:npm
cluster_up
tree=$scratch/tree

make_tree() (
  rm -rf "$tree"
  mkdir -p "$tree"
  cd "$tree" || return 1
  node -e '
    const files = Number(process.argv[1]);
    for (let i = 0; i < files; i++) {
      const dir = `d${i % 40}/e${i % 7}`;
      fs.mkdirSync(dir, { recursive: true });
      fs.writeFileSync(`${dir}/file ${i}`, Buffer.alloc((i * 7919) % 20000, `content of ${i} `));
      fs.utimesSync(`${dir}/file ${i}`, 1e9 + i + 0.123456, 1e9 + i + 0.654321);
    }' "$FILES"
  head -c 30000000 /dev/urandom >big
  for i in 1 2 3 4 5 6 7 8 9; do
    ln "d$i/e$i/file $i" "hard $i" 2>/dev/null || ln big "hard $i"
    ln -s "d$i/nowhere" "soft $i"
  done
  printf 'n\377\001\n' >"$(printf 'name \377\001 with\nnewline')"
  mkfifo fifo
  chmod 4711 big
  chmod 1777 d1
  setfattr -n user.colour -v blue big
  setfattr -n user.binary -v 0x00ff00 d2
  [ "$(id -u)" -ne 0 ] || { chown 1234:5678 d3 && chown -h 1:2 'soft 1' && setfattr -n trusted.t -v x d4 && mknod null c 1 3; }
  truncate -s 100M sparse
  printf middle | dd of=sparse bs=1 seek=52428800 conv=notrunc status=none
  printf end | dd of=sparse bs=1 seek=104857597 conv=notrunc status=none
)

# Whatever rsync would change, of content (by checksum), times, modes, owners, links and attributes.
same_tree() {
  differences=$(rsync -naHX --checksum --itemize-changes --delete "$1/" "$2/") || return 1
  echo "$differences"
  [ -z "$differences" ]
}

check 'a tree on the local disk' make_tree || finish
in_the_middle leader 2 'rsync -aHAX to the mount' rsync -aHX "$tree/" "$mount/tree/"
check 'rsync --checksum finds no difference' same_tree "$tree" "$mount/tree"
check 'rsync -aHX --inplace of changes' sh -c "cp -a '$tree/.' '$scratch/changed' && printf changed | dd of='$scratch/changed/big' bs=1 \
  seek=15000000 conv=notrunc status=none && rm -r '$scratch/changed/d5' && rsync -aHX --inplace --no-whole-file --delete --checksum \
  '$scratch/changed/' '$mount/tree/'"
check 'rsync --checksum finds no difference after that' same_tree "$scratch/changed" "$mount/tree"
in_the_middle leader 1 'rsync -aHX within the mount' rsync -aHX "$mount/tree/" "$mount/second/"
check 'rsync --checksum within the mount' same_tree "$mount/tree" "$mount/second"
check 'rsync back to the local disk' rsync -aHX "$mount/second/" "$scratch/back/"
check 'it is what it was' same_tree "$scratch/changed" "$scratch/back"

check 'tar with sparse files and attributes, onto the mount' tar -C "$tree" --sparse --xattrs -cf "$mount/tree.tar" .
in_the_middle leader 1 'tar -x on the mount' sh -c "mkdir '$mount/untarred' && tar -C '$mount/untarred' --xattrs --xattrs-include='*' --same-owner \
  -xpf '$mount/tree.tar'"
check 'rsync --checksum of what tar unpacked' same_tree "$tree" "$mount/untarred"
check 'what was sparse is' sh -c "test \$(stat -c %b '$mount/untarred/sparse') -lt 2048"
check 'tar --sparse of the mount' sh -c "tar -C '$mount/untarred' --sparse -cf '$scratch/sparse.tar' sparse && mkdir '$scratch/sparse.d' &&
  tar -C '$scratch/sparse.d' -xf '$scratch/sparse.tar' && cmp '$tree/sparse' '$scratch/sparse.d/sparse'"
check 'cp --sparse=always' sh -c "cp --sparse=always '$tree/sparse' '$mount/cp' && cmp '$tree/sparse' '$mount/cp' &&
  test \$(stat -c %b '$mount/cp') -lt 2048"

# Packages of a thousand files, one of whose programs is run from there; the versions are those of this project.
project=$mount/project
typescript=$(json "$root/package.json" 'it.devDependencies.typescript')
zod=$(json "$root/package.json" 'it.dependencies.zod')
check 'a project' sh -c "mkdir '$project' && echo '{ \"private\": true }' >'$project/package.json'"
in_the_middle leader 3 'npm install' sh -c "cd '$project' && npm install --no-audit --no-fund --loglevel=error --prefer-offline \
  'typescript@$typescript' 'zod@$zod'"
check 'what it installed runs from there' sh -c "cd '$project' && node_modules/.bin/tsc --version && npm ls --all"
check 'rm -r of it' rm -r "$project"

# 150 translation units of C, built twice.
make_sources() (
  mkdir "$mount/c" && cd "$mount/c" || return 1
  node -e '
    const units = 150;
    for (let i = 0; i < units; i++) {
      const body = Array.from({ length: 40 }, (_, k) => `static int g${k}(int x) { return x * ${k} + ${i}; }`).join("\n");
      const sum = Array.from({ length: 40 }, (_, k) => `g${k}(x)`).join(" + ");
      fs.writeFileSync(`u${i}.c`, `#include <stdio.h>\n#include "all.h"\n${body}\nint f${i}(int x) { return ${sum}; }\n`);
    }
    const all = Array.from({ length: units }, (_, i) => i);
    fs.writeFileSync("all.h", all.map((i) => `int f${i}(int);`).join("\n") + "\n");
    fs.writeFileSync("main.c", "#include <stdio.h>\n#include \"all.h\"\nint main(void) { unsigned s = 0;" + all.map((i) => `s += f${i}(${i});`).join("") + "printf(\"%u\\n\", s); return 0; }\n");
    fs.writeFileSync("Makefile", "app: main.o " + all.map((i) => `u${i}.o`).join(" ") + "\n\tgcc -o $@ $^\n%.o: %.c all.h\n\tgcc -O1 -pipe -c -o $@ $<\nclean:\n\trm -f app *.o\n");'
)
check 'sources' make_sources
in_the_middle leader 2 'make -j8' make -s -C "$mount/c" -j8
check 'the program runs' "$mount/c/app"
check 'make has nothing more to do' make -q -C "$mount/c"
check 'make clean and again' sh -c "make -s -C '$mount/c' clean && make -s -C '$mount/c' -j4 && test \"\$('$mount/c/app')\" -gt 0"
finish
