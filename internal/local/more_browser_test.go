//go:build proof

package local_test

import "testing"

// What else a person clicks, for make proof.
func TestMoreInABrowser(t *testing.T) {
	inBrowser(t, []browserTest{
		{"declining changes nothing", testDeclining},
		{"reloading the callback shows the first outcome", testReload},
		{"the host completes each provider's connection", testCompletion},
		{"another user's link connects nothing", testTwoUsers},
		{"who is not signed in is asked", testSigningIn},
		{"the page fits every screen", testScreens},
	})
}
