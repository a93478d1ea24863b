package web

import (
	"net/http"
	"strings"
)

// All text of the pages stands in this file, and a test holds that. To have them
// in another language, translate the strings and say so in language; what a
// program reads (Type and Status) stays. There is no choice by Accept-Language:
// the host has chosen a language with its own pages, these come between two of
// them, and most people never see one.
const (
	language  = "en"
	direction = "ltr"
)

// A Text is what a page or a problem document says, and to whom it happens.
// Title, Detail and Next may name the host and the provider: {host}, {provider}
// and, where a sentence begins with it, {Provider}.
type Text struct {
	Status int
	Type   string // never changes: programs rely on it; "": nothing is wrong
	Title  string
	Detail string // what has happened
	Next   string // what to do now
	Look   Look
	Allow  string // with status 405
}

// A Look is how a page shows at a glance what kind of news it has.
type Look string

// The looks of a page. The zero Look says that something does not work.
const (
	Trouble Look = ""
	Good    Look = "good"
	Calm    Look = "calm" // as the person wished
	Waiting Look = "waiting"
)

// How a request of a browser ends without a place to send it to, if nothing is
// wrong.
var (
	Connected = Text{Status: http.StatusOK, Look: Good, Title: "{Provider} is connected",
		Detail: "Your account at {provider} is now connected with {host}.",
		Next:   "You can close this window and go back to {host}. If you did not start this yourself, take the access back in your account settings at {provider}."}
	Narrowed = Text{Status: http.StatusOK, Look: Good, Title: "{Provider} is connected, with less access",
		Detail: "Your account at {provider} is now connected with {host}. You granted less than was asked for, so something may not work.",
		Next:   "You can close this window and go back to {host}; to grant the rest, connect again from there. If you did not start this yourself, take the access back in your account settings at {provider}."}
	Denied = Text{Status: http.StatusOK, Look: Calm, Title: "{Provider} was not connected",
		Detail: "You declined, and nothing was changed.",
		Next:   "You can close this window. If you change your mind, start again from {host}."}
)

// What can go wrong with a request of a browser.
var (
	UnknownProvider = Text{Status: http.StatusNotFound, Type: "unknown-provider", Title: "There is nothing here",
		Detail: "The link names a provider that is not known here.",
		Next:   "Go back to {host} and start again from there."}
	MethodNotAllowed = Text{Status: http.StatusMethodNotAllowed, Type: "method-not-allowed", Title: "This cannot be done here",
		Detail: "The address was asked for in a way that it does not answer.",
		Next:   "Open the link in a browser."}
	BadRequest = Text{Status: http.StatusBadRequest, Type: "bad-request", Title: "This link is not complete",
		Detail: "A part of the link is missing, repeated, too long or not allowed.",
		Next:   "Go back to {host} and start again from there."}
	NotAWindow = Text{Status: http.StatusForbidden, Type: "not-a-window", Title: "Please open this in a window of its own",
		Detail: "A link to connect an account works in a window or tab alone, not inside of another page.",
		Next:   "Go back to {host} and open it from there."}
	LinkInvalid = Text{Status: http.StatusForbidden, Type: "ticket-invalid", Title: "This link does not work",
		Detail: "The link is incomplete, or made for something else.",
		Next:   "Go back to {host} and ask for a new one."}
	LinkExpired = Text{Status: http.StatusForbidden, Type: "ticket-expired", Title: "This link has expired",
		Detail: "A link to connect an account works for a few minutes only. Nothing was changed.",
		Next:   "Go back to {host} and ask for a new one."}
	LinkUsed = Text{Status: http.StatusForbidden, Type: "ticket-used", Title: "This link has been used",
		Detail: "An account was already connected with this link.",
		Next:   "Go back to {host}; ask for a new link if you want to connect again."}
	BadCallback = Text{Status: http.StatusBadRequest, Type: "callback-invalid", Title: "Please start again",
		Detail: "The answer that came back from {provider} cannot be used, and nothing was changed.",
		Next:   "Go back to {host} and connect again."}
	Expired = Text{Status: http.StatusBadRequest, Type: "request-expired", Title: "This took too long",
		Detail: "More than ten minutes have passed since you started, and nothing was changed.",
		Next:   "Go back to {host} and connect again."}
	WrongBrowser = Text{Status: http.StatusForbidden, Type: "wrong-browser", Title: "This cannot be finished in this browser",
		Detail: "It was started in another browser, more than ten minutes ago, or without cookies. Nothing was changed.",
		Next:   "Go on in the browser where you started, or go back to {host} and connect again from here."}
	Busy = Text{Status: http.StatusAccepted, Type: "in-progress", Look: Waiting, Title: "Almost there",
		Detail: "Your account is being connected in another window.",
		Next:   "Reload this page in a moment. If it stays like this, start again from {host}."}
	ProviderFailed = Text{Status: http.StatusBadGateway, Type: "provider-failed", Title: "{Provider} did not answer as expected",
		Detail: "Your account could not be connected, and nothing was changed.",
		Next:   "Wait a few minutes, then go back to {host} and connect again."}
	AccountChanged = Text{Status: http.StatusConflict, Type: "account-changed", Title: "This is another account",
		Detail: "You have chosen another account at {provider} than the one that is connected, and nothing was changed.",
		Next:   "Go back to {host}: connect again and choose the same account, or disconnect the old one first."}
	AccountUnknown = Text{Status: http.StatusConflict, Type: "account-unknown", Title: "Please try again in a moment",
		Detail: "{Provider} did not say which account you have chosen, so the one that is connected stays, and nothing was changed.",
		Next:   "Go back to {host} and connect again."}
	NotConfigured = Text{Status: http.StatusInternalServerError, Type: "not-configured", Title: "{Provider} is not set up properly",
		Detail: "This is nothing that you can mend, and nothing was changed. The people who run this service have been told.",
		Next:   "Try again later from {host}."}
	Unavailable = Text{Status: http.StatusServiceUnavailable, Type: "unavailable", Title: "Please try again in a moment",
		Detail: "Something that is needed is out of reach, and nothing was changed.",
		Next:   "Reload this page in a moment. If it stays like this, start again from {host}."}
	Kept = Text{Status: http.StatusServiceUnavailable, Type: "kept", Look: Waiting, Title: "Your account is about to be connected",
		Detail: "You have approved, and what came of it is kept safely. It is connected by itself within ten minutes.",
		Next:   "There is nothing that you have to do. Reload this page later to see that it is connected."}
	NotSaved = Text{Status: http.StatusServiceUnavailable, Type: "not-saved", Title: "Your account could not be saved",
		Detail: "You have approved, but what came of it could not be stored. An older connection is as it was.",
		Next:   "Wait a few minutes, then go back to {host} and connect again."}
	Internal = Text{Status: http.StatusInternalServerError, Type: "internal", Title: "Something went wrong",
		Detail: "A mistake of ours has kept this from being finished.",
		Next:   "Go back to {host} and look whether your account is connected. If it is not, start again from there."}
)

// The pages of the two flows that go on by a script. A person sees them for a
// moment, or where scripts are off.
var (
	continuing = Text{Status: http.StatusOK, Look: Waiting, Title: "One moment",
		Detail: "The answer of {provider} is being passed on.",
		Next:   "If this page stays, choose “Go on”."}
	needsScript = Text{Status: http.StatusOK, Look: Waiting, Title: "One moment",
		Detail: "The answer of {provider} is being passed on.",
		Next:   "If this page stays, allow JavaScript for it and load it again."}
)

// The words around a Text.
const (
	goOnLabel       = "Go on"
	backLabel       = "Go back to {host}"
	providerLabel   = "Provider"
	connectionLabel = "Connection"
	hostLabel       = "Application"
	helpText        = "If you ask for help, name this reference."
	referenceLabel  = "Reference: "
)

// What host and provider are called where nobody knows which ones they are.
const (
	someHost          = "the application"
	someProvider      = "the provider"
	someProviderFirst = "The provider"
)

// Allowing returns t for a resource that takes the given methods.
func (t Text) Allowing(methods ...string) Text {
	t.Allow = strings.Join(methods, ", ")
	return t
}
