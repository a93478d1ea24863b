package web

import (
	"net/http"
	"strings"
)

// A Text is one thing that can go wrong, as a person or a program reads it.
// Type never changes; Detail says what to do next.
type Text struct {
	Status int
	Type   string
	Title  string
	Detail string
	Allow  string // with status 405
}

// What can go wrong with a request of a browser.
var (
	UnknownProvider = Text{Status: http.StatusNotFound, Type: "unknown-provider", Title: "There is nothing here",
		Detail: "No such provider is known. Go back to the application and start again from there."}
	MethodNotAllowed = Text{Status: http.StatusMethodNotAllowed, Type: "method-not-allowed", Title: "This cannot be done here",
		Detail: "Open the link in a browser."}
	BadRequest = Text{Status: http.StatusBadRequest, Type: "bad-request", Title: "This link is not complete",
		Detail: "A part of the link is missing, repeated, too long or not allowed. Go back to the application and start again from there."}
	NotAWindow = Text{Status: http.StatusForbidden, Type: "not-a-window", Title: "Please open this in a window of its own",
		Detail: "A link to connect an account works in a window or tab alone, not inside of another page. Go back to the application and open it from there."}
	LinkInvalid = Text{Status: http.StatusForbidden, Type: "ticket-invalid", Title: "This link does not work",
		Detail: "The link is incomplete, expired or made for something else. Go back to the application and ask for a new one."}
	LinkUsed = Text{Status: http.StatusForbidden, Type: "ticket-used", Title: "This link has been used",
		Detail: "An account was already connected with this link. Go back to the application; ask for a new link if you want to connect again."}
	BadCallback = Text{Status: http.StatusBadRequest, Type: "callback-invalid", Title: "Please start again",
		Detail: "The answer that came back cannot be used, and nothing was changed. Go back to the application and connect again."}
	Expired = Text{Status: http.StatusBadRequest, Type: "request-expired", Title: "This took too long",
		Detail: "More than ten minutes have passed, and nothing was changed. Go back to the application and connect again."}
	WrongBrowser = Text{Status: http.StatusForbidden, Type: "wrong-browser", Title: "Please go on in the browser where you started",
		Detail: "This page belongs to a connection that was started in another browser, or with cookies that are gone. Nothing was changed. Start again from the application, in one browser."}
	Busy = Text{Status: http.StatusAccepted, Type: "in-progress", Title: "Almost there",
		Detail: "Your account is being connected in another window. Reload this page in a moment; if it stays like this, start again from the application."}
	ProviderFailed = Text{Status: http.StatusBadGateway, Type: "provider-failed", Title: "The provider did not answer as expected",
		Detail: "Nothing was changed. Please try again in a few minutes from the application."}
	AccountChanged = Text{Status: http.StatusConflict, Type: "account-changed", Title: "This is another account",
		Detail: "You have chosen another account than the one that is connected, and nothing was changed. Go back to the application: connect again and choose the same account, or disconnect the old one first."}
	AccountUnknown = Text{Status: http.StatusConflict, Type: "account-unknown", Title: "Please try again in a moment",
		Detail: "It could not be found out which account you have chosen, so the one that is connected stays, and nothing was changed. Go back to the application and connect again."}
	NotConfigured = Text{Status: http.StatusInternalServerError, Type: "not-configured", Title: "This provider is not set up properly",
		Detail: "Nothing you can mend: the people who run this service have been told. Please try again later."}
	Unavailable = Text{Status: http.StatusServiceUnavailable, Type: "unavailable", Title: "Please try again in a moment",
		Detail: "Something that is needed is out of reach, and nothing was changed. Try again in a moment."}
	Kept = Text{Status: http.StatusServiceUnavailable, Type: "kept", Title: "Your account is about to be connected",
		Detail: "You have approved, and what came of it is kept safely. It is connected by itself within ten minutes: there is nothing you have to do. Reload this page later to see that it is."}
	NotSaved = Text{Status: http.StatusServiceUnavailable, Type: "not-saved", Title: "Your account could not be saved",
		Detail: "You have approved, but what came of it could not be stored, and an older connection is as it was. Wait a few minutes, then go back to the application and connect again."}
	Internal = Text{Status: http.StatusInternalServerError, Type: "internal", Title: "Something went wrong",
		Detail: "Go back to the application and look whether your account is connected. If it is not, start again from there."}
)

// ConnectedPage is what a person sees who has connected an account.
func ConnectedPage(provider string) Page {
	return Page{Title: provider + " is connected", Text: "You can close this window and go back to the application.", Good: true}
}

// NarrowedPage is what a person sees who has connected an account, and granted
// less than was asked for.
func NarrowedPage(provider string) Page {
	return Page{Title: provider + " is connected, with less access", Text: "You granted less than was asked for, so something may not work. You can close this window and go back to the application, or connect again from there.", Good: true}
}

// DeniedPage is what a person sees who has said no.
func DeniedPage(provider string) Page {
	return Page{Title: provider + " was not connected", Text: "You declined, and nothing was changed. You can close this window, or start again from the application."}
}

const goOn = "Go on"

var continuing = Page{Title: "One moment", Text: "Taking you back to the application."}

// Allowing returns t for a resource that takes the given methods.
func (t Text) Allowing(methods ...string) Text {
	t.Allow = strings.Join(methods, ", ")
	return t
}
