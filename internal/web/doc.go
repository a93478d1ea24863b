// Package web is the HTTP of the browser's part: it reads requests as API
// Gateway hands them over (HTTP API, payload 2.0), strictly, and writes pages,
// redirects and problem documents with the headers that every answer carries.
//
// It knows no provider and no connection. All text that people read stands in
// text.go.
package web
