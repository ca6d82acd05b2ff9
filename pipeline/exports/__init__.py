"""Results in the formats of other tools, one module each; `pipeline.exports.formats` lists them."""
