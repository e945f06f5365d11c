// The folder this build lies in. CommonJS in both builds, since only there `__dirname` and `import.meta` need no choice:
// whoever starts a worker finds its file beside this one.
export const here = __dirname
