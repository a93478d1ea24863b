package template

// Document returns the template at path: mappings, lists, strings, numbers and
// booleans, with each intrinsic function under its long name. Its errors are
// those of [Environment].
func Document(path string) (map[string]any, error) { return read(path) }

// At returns what stands in node, a part of a document or of a rendered stack,
// under the keys, or nil.
func At(node any, keys ...string) any { return at(node, keys...) }
