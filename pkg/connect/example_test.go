package connect_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/evergrant/evergrant/pkg/connect"
)

// A signed-in user of shop acct_42 clicks "connect": make a ticket for that
// shop and send the browser to its link.
func ExampleTicket_Link() {
	// The text of the secret that CONNECT_SECRET names, from Secrets Manager.
	secret := []byte(`{"current":"k1","k1":"0123456789abcdef0123456789abcdef"}`)
	key, err := connect.CurrentKey(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	ticket := connect.Ticket{
		ConnectionID: "acct_42",
		Provider:     "whatnot",
		ReturnTo:     "https://app.example.com/shops/acct_42",
	}
	link, err := ticket.Link("https://connect.example.com", key, time.Now())
	if err != nil {
		fmt.Println(err)
		return
	}
	where, signed, _ := strings.Cut(link, "=")
	fmt.Println(where)
	fmt.Println(strings.Count(signed, ".")+1, "parts of a JWT")
	// Output:
	// https://connect.example.com/authorize/whatnot?ticket
	// 3 parts of a JWT
}
