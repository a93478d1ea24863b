package template

// Document returns the template at path: mappings, lists, strings, numbers and
// booleans, with each intrinsic function under its long name. Its errors are
// those of [Environment].
func Document(path string) (map[string]any, error) { return read(path) }
