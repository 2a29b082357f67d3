#!/bin/sh
# The callbacks of Node's `fs` get null where all went well, all of them, on Node and on Bun; Node's documentation allows
# undefined too. Deno gives null to `fs.fsync` and most others, and undefined to `fs.rename`: code that compares with null
# takes a rename that went well for one that failed.
#
# Seen: deno 2.9.6. Needs Node and npm on the PATH. Exits 1 if it behaves otherwise.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "allowScripts": { "deno": true } }' >package.json
npm install --silent --no-audit --no-fund deno@2.9.6
cat >rename.cjs <<'END'
const Fs = require("node:fs")
const fd = Fs.openSync("draft", "w")
Fs.fsync(fd, (synced) =>
  Fs.rename("draft", "file", (renamed) => {
    console.log(`fsync: ${synced}, rename: ${renamed}`)
    if (!Fs.existsSync("file")) process.exitCode = 1
  })
)
END
seen="$(node rename.cjs), deno: $(rm file; node_modules/.bin/deno run --allow-all --quiet rename.cjs)"
echo "node: $seen"
[ "$seen" = "fsync: null, rename: null, deno: fsync: null, rename: undefined" ]
