//go:build proof

package lambdatest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/lambdatest"
)

// Without any one of its rights a function fails in a way that is seen from outside.
// What fails is in the log of the test.
func TestAFunctionFailsWithoutAnyOneOfItsRights(t *testing.T) {
	t.Parallel()
	for function, duty := range duties {
		all, _ := deploy(t, lambdatest.Config{}).Rights(function)
		for _, right := range all {
			if needless(right) {
				continue
			}
			t.Run(function+" "+strings.ReplaceAll(right, "/", ":"), func(t *testing.T) {
				t.Parallel()
				d := deploy(t, lambdatest.Config{})
				d.Withhold(function, right)
				lines := duty.do(d)
				if d.Missed() == 0 || slices.Equal(lines, duty.want) {
					t.Errorf("the right was missed %d times, and what is seen is\n%s", d.Missed(), strings.Join(lines, "\n"))
				}
				for i, line := range lines {
					if line != duty.want[i] {
						t.Logf("with the right: %s; without it: %s", duty.want[i], line)
					}
				}
			})
		}
	}
}
