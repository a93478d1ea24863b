package web

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Recover is deferred by a handler: it turns a panic into the answer Internal,
// with the headers that every answer carries. The log gets the type of the
// panic and the stack, but not its value, which may hold anything.
func Recover(ctx context.Context, log *slog.Logger, r *Request, resp *Response) {
	cause := recover()
	if cause == nil {
		return
	}
	log.ErrorContext(ctx, "panic", "reference", r.Reference, "type", fmt.Sprintf("%T", cause), "stack", string(debug.Stack()))
	*resp = Problem(*r, Internal)
}
