/**
 * The version of this package. `package.json` decides; a test holds this file to it, so that no program reads a file at run
 * time to know its version.
 */

/** As in `package.json`: `major.minor.patch`. */
export const version = "0.1.0"
