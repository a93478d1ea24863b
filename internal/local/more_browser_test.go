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
		{"every page of a deployment can be read by everybody", testEveryPage},
		{"every page of local mode can be read by everybody", testLocalPages},
		{"approving without a place to return to ends on a page", testApprovePage},
		{"the back button changes no outcome", testBackButton},
		{"another browser cannot finish, and the first one still can", testOtherBrowser},
		{"without its cookie nothing is finished, and starting again works", testMissingCookie},
		{"what has expired says so and leads back", testExpired},
		{"a provider that fails is named, and nothing is stored", testProviderFails},
		{"an answer by form_post arrives by way of our own page", testFormPost},
		{"an answer in the fragment arrives, and leaves no trace", testFragment},
		{"whData leaves the address and the history", testWhData},
	})
}
