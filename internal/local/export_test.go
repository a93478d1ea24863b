package local

import "github.com/evergrant/evergrant/internal/bolt"

// Store returns the store of s, for tests that read past it.
func (s *Server) Store() *bolt.Store { return s.store }
