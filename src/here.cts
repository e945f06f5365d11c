// The folder this build lies in; `undefined` or a made-up one in a bundle. CommonJS in both builds, since only there
// `__dirname` and `import.meta` need no choice.
export const here: string | undefined = typeof __dirname === 'string' ? __dirname : undefined
