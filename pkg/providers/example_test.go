package providers_test

import (
	"fmt"

	"github.com/evergrant/evergrant/pkg/providers"
)

func ExampleFind() {
	p, _ := providers.Find("whatnot")
	staging, _ := p.Environment("staging")
	fmt.Println(p.Name, p.In(staging).TokenURL)
	// Output: Whatnot https://api.stage.whatnot.com/seller-api/rest/oauth/token
}
