/** Opens folders of keys as another user, for tests that run as root: uid, gid, groups, then folders. */
import process from "node:process"
import { openMounted } from "../../src/keys/KeyFolder.ts"

const [uid, gid, groups = "", ...folders] = process.argv.slice(2)
process.setgroups?.(groups.split(",").filter(Boolean).map(Number))
process.setgid?.(Number(gid))
process.setuid?.(Number(uid))
const said = folders.map((folder) => {
  try {
    openMounted(folder, {})
    return "opened"
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
})
process.stdout.write(JSON.stringify(said))
