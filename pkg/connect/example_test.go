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
	key := connect.Key{ID: "k1", Secret: "from the secret that CONNECT_SECRET names"}
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
