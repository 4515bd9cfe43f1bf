// Node's own resolution of modules wants the file's extension in an import; without this, only a bundler finds them.
export default {
  input: process.env.LAYER_SPEC,
  output: { path: "hey-api", module: { extension: ".js" } },
};
