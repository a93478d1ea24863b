// Package awsenv makes AWS configurations from the environment of a Lambda
// function.
//
// The SDK's own config package does the same for every kind of machine and
// brings four more service clients along; a function's credentials and region
// always come by environment. The command, which runs on people's machines,
// uses the SDK's.
package awsenv

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// Config returns the configuration for service, whose name is that of its
// endpoint setting: DYNAMODB, SECRETS_MANAGER, SQS or EVENTBRIDGE. Its client is
// hc.
func Config(getenv func(string) string, service string, hc *http.Client) (aws.Config, error) {
	region := cmp.Or(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION"))
	if region == "" {
		return aws.Config{}, errors.New("setting AWS_REGION is missing: Lambda sets it")
	}
	c := aws.Config{
		Region: region,
		Credentials: aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			c := aws.Credentials{
				AccessKeyID: getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"),
				SessionToken: getenv("AWS_SESSION_TOKEN"), Source: "environment",
			}
			if !c.HasKeys() {
				return aws.Credentials{}, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are missing: Lambda sets them")
			}
			return c, nil
		})),
		HTTPClient: hc,
		Retryer:    func() aws.Retryer { return retry.AddWithMaxAttempts(retry.NewStandard(), 3) },
	}
	if !strings.EqualFold(getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		if endpoint := cmp.Or(getenv("AWS_ENDPOINT_URL_"+service), getenv("AWS_ENDPOINT_URL")); endpoint != "" {
			c.BaseEndpoint = aws.String(endpoint)
		}
	}
	return c, nil
}

// HTTPClient returns the client that the functions share for AWS. One attempt
// takes at most five seconds: the SDK itself would wait for ever.
func HTTPClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 256
	return &http.Client{Transport: t, Timeout: 5 * time.Second}
}
