package template

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// edgePath is the template of what may stand in front of the API.
const edgePath = "../../docs/edge.yaml"

// edgeRules are the promises of that template.
var edgeRules = map[string]rule{
	"nothing is cached":                               edgeCache,
	"the API sees what the browser has sent":          edgeForwards,
	"nobody reads what travels":                       edgeTLS,
	"no log and no sample holds a query":              edgeLogs,
	"floods and known bad requests are blocked":       edgeBlocks,
	"CloudFront shows the API its certificate":        edgeCertificate,
	"a parameter is described, constrained and used":  edgeParameters,
	"it is where CloudFront looks for a web ACL":      edgeRegion,
	"long tickets, cookies and answers are let by":    edgeLets,
	"its records are made only where there is a zone": edgeRecords,
	"its names fit whatever the stack is called":      edgeNames,
	"all that there is stands in the list":            edgeListed,
}

// edge returns a part of the distribution's configuration.
func edge(doc map[string]any, keys ...string) any {
	return at(at(doc, "Resources", "Distribution", "Properties", "DistributionConfig"), keys...)
}

// edgeContents are the properties of its resources, as contents has those of the stack.
var edgeContents = map[string]string{
	"Distribution":    "AWS::CloudFront::Distribution: DistributionConfig",
	"WebAcl":          "AWS::WAFv2::WebACL: DefaultAction Rules Scope VisibilityConfig",
	"AccessLogs":      "AWS::Logs::LogGroup: LogGroupName RetentionInDays; DeletionPolicy Delete; UpdateReplacePolicy Delete",
	"LogSource":       "AWS::Logs::DeliverySource: LogType Name ResourceArn",
	"LogDestination":  "AWS::Logs::DeliveryDestination: DestinationResourceArn Name OutputFormat",
	"LogDelivery":     "AWS::Logs::Delivery: DeliveryDestinationArn DeliverySourceName RecordFields",
	"Record RecordV6": "AWS::Route53::RecordSet: AliasTarget HostedZoneId Name Type",
}

func edgeListed(doc map[string]any, p *problems) {
	compare(doc, edgeContents, p)
	p.want("distribution", keys(edge(doc)), `"Aliases Comment DefaultCacheBehavior Enabled HttpVersion IPV6Enabled Origins ViewerCertificate WebACLId"`)
	p.want("it answers", edge(doc, "Enabled"), `true`)
	p.want("its names", edge(doc, "Aliases"), `[{"Ref":"Domain"}]`)
	p.want("behaviour", keys(edge(doc, "DefaultCacheBehavior")),
		`"AllowedMethods CachePolicyId CachedMethods Compress OriginRequestPolicyId TargetOriginId ViewerProtocolPolicy"`)
	origins, _ := edge(doc, "Origins").([]any)
	for _, origin := range origins {
		p.want("origin", keys(origin), `"CustomOriginConfig DomainName Id"`)
		p.want("how it is asked", keys(at(origin, "CustomOriginConfig")), `"OriginMtlsConfig OriginProtocolPolicy OriginReadTimeout OriginSSLProtocols"`)
	}
	p.want("what no rule blocks", at(doc, "Resources", "WebAcl", "Properties", "DefaultAction"), `{"Allow":{}}`)
	rules, _ := at(doc, "Resources", "WebAcl", "Properties", "Rules").([]any)
	for _, r := range rules {
		group := copied(at(r, "Statement", "ManagedRuleGroupStatement"))
		group.take("Name")
		group.take("RuleActionOverrides")
		if group.take("VendorName"); len(group) > 0 {
			p.add("%v has%s", at(r, "Name"), group.rest())
		}
	}
}

func edgeCache(doc map[string]any, p *problems) {
	p.want("cache policy", edge(doc, "DefaultCacheBehavior", "CachePolicyId"), `"4135ea2d-6df8-44a3-9df3-4b5a84be39ad"`) // CachingDisabled
}

func edgeForwards(doc map[string]any, p *problems) {
	p.want("request policy", edge(doc, "DefaultCacheBehavior", "OriginRequestPolicyId"), `"b689b0a8-53d0-40ab-baf2-68738e2966ac"`) // AllViewerExceptHostHeader
	p.want("methods", edge(doc, "DefaultCacheBehavior", "AllowedMethods"), `["DELETE","GET","HEAD","OPTIONS","PATCH","POST","PUT"]`)
}

func edgeTLS(doc map[string]any, p *problems) {
	p.want("browsers", edge(doc, "DefaultCacheBehavior", "ViewerProtocolPolicy"), `"https-only"`)
	p.want("certificate", edge(doc, "ViewerCertificate"), `{"AcmCertificateArn":{"Ref":"CertificateArn"},"MinimumProtocolVersion":"TLSv1.2_2021","SslSupportMethod":"sni-only"}`)
	origins, _ := edge(doc, "Origins").([]any)
	for _, origin := range origins {
		p.want("API", at(origin, "CustomOriginConfig", "OriginProtocolPolicy"), `"https-only"`)
		p.want("versions", at(origin, "CustomOriginConfig", "OriginSSLProtocols"), `["TLSv1.2"]`)
	}
}

// edgeLogs lets through the fields that are known to be without a query.
func edgeLogs(doc map[string]any, p *problems) {
	known := []string{"c-ip", "cs-method", "cs-uri-stem", "date", "sc-bytes", "sc-status", "ssl-protocol", "time", "time-taken", "x-edge-location", "x-edge-request-id", "x-edge-result-type"}
	fields := list(at(doc, "Resources", "LogDelivery", "Properties", "RecordFields"))
	if len(fields) < 5 {
		p.add("the log has the fields %v", fields)
	}
	for _, f := range fields {
		if !slices.Contains(known, f) {
			p.add("the log field %s may hold a code or a ticket", f)
		}
	}
	p.want("retention", at(doc, "Resources", "AccessLogs", "Properties", "RetentionInDays"), `{"Ref":"LogRetentionDays"}`)
	acl := at(doc, "Resources", "WebAcl", "Properties")
	samples := []any{at(acl, "VisibilityConfig", "SampledRequestsEnabled")}
	rules, _ := at(acl, "Rules").([]any)
	for _, r := range rules {
		samples = append(samples, at(r, "VisibilityConfig", "SampledRequestsEnabled"))
	}
	for _, s := range samples {
		p.want("samples of requests", s, `false`)
	}
}

func edgeBlocks(doc map[string]any, p *problems) {
	p.want("web ACL", edge(doc, "WebACLId"), `{"Fn::GetAtt":["WebAcl","Arn"]}`)
	var got []string
	rules, _ := at(doc, "Resources", "WebAcl", "Properties", "Rules").([]any)
	for i, r := range rules {
		p.want("priority", at(r, "Priority"), fmt.Sprint(i))
		switch group := at(r, "Statement", "ManagedRuleGroupStatement", "Name"); {
		case group != nil:
			p.want(fmt.Sprint(group), at(r, "OverrideAction"), `{"None":{}}`)
			got = append(got, fmt.Sprint(group))
		default:
			p.want("rate", at(r, "Action"), `{"Block":{}}`)
			p.want("rate", at(r, "Statement", "RateBasedStatement"), `{"AggregateKeyType":"IP","EvaluationWindowSec":300,"Limit":{"Ref":"RequestsPerAddress"}}`)
			got = append(got, "rate")
		}
	}
	p.want("rules", got, `["rate","AWSManagedRulesAmazonIpReputationList","AWSManagedRulesKnownBadInputsRuleSet","AWSManagedRulesCommonRuleSet"]`)
}

func edgeCertificate(doc map[string]any, p *problems) {
	origins, _ := edge(doc, "Origins").([]any)
	if len(origins) != 1 {
		p.add("there are %d origins", len(origins))
		return
	}
	p.want("certificate", at(origins[0], "CustomOriginConfig", "OriginMtlsConfig"),
		`{"Fn::If":["HasClientCertificate",{"ClientCertificateArn":{"Ref":"ClientCertificateArn"}},{"Ref":"AWS::NoValue"}]}`)
	p.want("condition", at(doc, "Conditions", "HasClientCertificate"), `{"Fn::Not":[{"Fn::Equals":[{"Ref":"ClientCertificateArn"},""]}]}`)
}

func edgeParameters(doc map[string]any, p *problems) { parameters(doc, p) }

func edgeRegion(doc map[string]any, p *problems) {
	p.want("scope", at(doc, "Resources", "WebAcl", "Properties", "Scope"), `"CLOUDFRONT"`)
	assertions, _ := at(doc, "Rules", "ThisRegion", "Assertions").([]any)
	if len(assertions) != 1 {
		p.add("it is deployed anywhere")
		return
	}
	p.want("region", at(assertions[0], "Assert"), `{"Fn::Equals":[{"Ref":"AWS::Region"},"us-east-1"]}`)
}

func edgeLets(doc map[string]any, p *problems) {
	rules, _ := at(doc, "Resources", "WebAcl", "Properties", "Rules").([]any)
	var counted []string
	for _, r := range rules {
		overrides, _ := at(r, "Statement", "ManagedRuleGroupStatement", "RuleActionOverrides").([]any)
		for _, o := range overrides {
			p.want("override", at(o, "ActionToUse"), `{"Count":{}}`)
			counted = append(counted, fmt.Sprint(at(o, "Name")))
		}
	}
	p.want("counted", counted, `["SizeRestrictions_QUERYSTRING","SizeRestrictions_BODY","SizeRestrictions_Cookie_HEADER"]`)
}

func edgeRecords(doc map[string]any, p *problems) {
	records := resources(doc, "AWS::Route53::RecordSet")
	for id, r := range records {
		p.want(id, at(r, "Condition"), `"HasHostedZone"`)
	}
}

// edgeNames holds names to what AWS takes of them: 60 characters of what delivers
// logs, 128 of a comment (API references of CloudWatch Logs, PutDeliverySource, and of
// CloudFront, DistributionConfig, 2026-11-23).
func edgeNames(doc map[string]any, p *problems) {
	domain := strings.Repeat("d", 124) + ".com" // its MaxLength
	r, err := newRenderer(doc, map[string]string{"Domain": domain, "Origin": domain, "CertificateArn": strings.Replace(certificate, "eu-central-1", "us-east-1", 1)})
	if err != nil {
		p.add("%v", err)
		return
	}
	name := strings.Repeat("s", 128)
	r.values["AWS::Region"], r.values["AWS::StackName"] = "us-east-1", name
	r.values["AWS::StackId"] = "arn:aws:cloudformation:us-east-1:123456789012:stack/" + name + "/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
	r.physical = func(id, attribute string) (any, error) { return id + attribute, nil }
	stack, err := r.stack()
	if err != nil {
		p.add("%v", err)
		return
	}
	fits := func(what string, value any, most int) {
		if n := len(fmt.Sprint(value)); n > most {
			p.add("the name of %s has %d characters, %d are the most", what, n, most)
		}
	}
	fits("the log's source", at(stack.Resources["LogSource"], "Properties", "Name"), 60)
	fits("the log's destination", at(stack.Resources["LogDestination"], "Properties", "Name"), 60)
	fits("the log group", at(stack.Resources["AccessLogs"], "Properties", "LogGroupName"), 512)
	fits("the distribution", at(stack.Resources["Distribution"], "Properties", "DistributionConfig", "Comment"), 128)
}

func TestTheEdgeKeepsEveryRule(t *testing.T) {
	doc, err := read(edgePath)
	if err != nil {
		t.Fatal(err)
	}
	for name, look := range edgeRules {
		t.Run(name, func(t *testing.T) {
			var p problems
			look(doc, &p)
			for _, problem := range p {
				t.Error(problem)
			}
		})
	}
}

// What its comment says of money follows from its rules: $5 for the web ACL and $1
// for each rule (AWS WAF pricing, read on 2026-11-23).
func TestTheEdgeSaysWhatItCosts(t *testing.T) {
	source, err := os.ReadFile(edgePath)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := parse(source)
	if err != nil {
		t.Fatal(err)
	}
	rules, _ := at(doc, "Resources", "WebAcl", "Properties", "Rules").([]any)
	text := regexp.MustCompile(`\n# *`).ReplaceAllString(string(source), " ")
	for _, want := range []string{fmt.Sprintf("so $%d, and $0.60 for each million requests", 5+len(rules)), "passes CloudFront and the WAF by, unless"} {
		if !strings.Contains(text, want) {
			t.Errorf("the comment does not say %q", want)
		}
	}
}

func TestABrokenEdgeIsCaught(t *testing.T) {
	source, err := os.ReadFile(edgePath)
	if err != nil {
		t.Fatal(err)
	}
	untried := maps.Clone(edgeRules)
	for _, m := range []struct{ rule, old, new string }{
		{"nothing is cached", "4135ea2d-6df8-44a3-9df3-4b5a84be39ad", "658327ea-f89d-4fab-a63d-7e88639e58f6"},
		{"the API sees what the browser has sent", "b689b0a8-53d0-40ab-baf2-68738e2966ac", "216adef6-5c7f-47e4-b989-5492eafa07d3"},
		{"the API sees what the browser has sent", "[DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT]", "[GET, HEAD]"},
		{"nobody reads what travels", "ViewerProtocolPolicy: https-only", "ViewerProtocolPolicy: allow-all"},
		{"nobody reads what travels", "OriginProtocolPolicy: https-only", "OriginProtocolPolicy: match-viewer"},
		{"nobody reads what travels", "TLSv1.2_2021", "TLSv1"},
		{"no log and no sample holds a query", "cs-uri-stem, ", "cs-uri-stem, cs-uri-query, "},
		{"no log and no sample holds a query", "SampledRequestsEnabled: false, MetricName: rate", "SampledRequestsEnabled: true, MetricName: rate"},
		{"all that there is stands in the list", "        Enabled: true\n", "        Enabled: true\n        Logging: { Bucket: my-logs.s3.amazonaws.com }\n"},
		{"floods and known bad requests are blocked", "        WebACLId: !GetAtt WebAcl.Arn\n", ""},
		{"floods and known bad requests are blocked", "Action: { Block: {} }", "Action: { Count: {} }"},
		{"floods and known bad requests are blocked", "Name: AWSManagedRulesKnownBadInputsRuleSet", "Name: AWSManagedRulesLinuxRuleSet"},
		{"CloudFront shows the API its certificate", "              OriginMtlsConfig: !If [HasClientCertificate, { ClientCertificateArn: !Ref ClientCertificateArn }, !Ref AWS::NoValue]\n", ""},
		{"a parameter is described, constrained and used", "Limit: !Ref RequestsPerAddress", "Limit: 300"},
		{"it is where CloudFront looks for a web ACL", "Scope: CLOUDFRONT", "Scope: REGIONAL"},
		{"it is where CloudFront looks for a web ACL", "!Equals [!Ref AWS::Region, us-east-1]", "!Equals [us-east-1, us-east-1]"},
		{"long tickets, cookies and answers are let by", "                - { Name: SizeRestrictions_QUERYSTRING, ActionToUse: { Count: {} } }\n", ""},
		{"its names fit whatever the stack is called", "Comment: !Ref Domain", "Comment: !Sub Evergrant at ${Domain}"},
		{"its names fit whatever the stack is called", `LogDestination:
    Type: AWS::Logs::DeliveryDestination
    Properties:
      Name: !Sub ["evergrant-${Stack}", {`, `LogDestination:
    Type: AWS::Logs::DeliveryDestination
    Properties:
      Name: !Sub ["${AWS::StackName}-access", {`},
		{"all that there is stands in the list", "          Compress: false\n", "          Compress: false\n          ResponseHeadersPolicyId: 5cc3b908-e619-4b99-88e5-2cf7f45965bd\n"},
		{"all that there is stands in the list", "        Enabled: true\n", "        Enabled: true\n        CustomErrorResponses: [{ ErrorCode: 404, ErrorCachingMinTTL: 60 }]\n"},
		{"all that there is stands in the list", "        Enabled: true\n", "        Enabled: false\n"},
		{"all that there is stands in the list", "DefaultAction: { Allow: {} }", "DefaultAction: { Block: {} }"},
		{"all that there is stands in the list", "Name: AWSManagedRulesKnownBadInputsRuleSet }", "Name: AWSManagedRulesKnownBadInputsRuleSet, ScopeDownStatement: { GeoMatchStatement: { CountryCodes: [DE] } } }"},
		{"all that there is stands in the list", "  LogDelivery:\n", "  RequestLogs:\n    Type: AWS::WAFv2::LoggingConfiguration\n\n  LogDelivery:\n"},
		{"its records are made only where there is a zone", "  RecordV6:\n    Type: AWS::Route53::RecordSet\n    Condition: HasHostedZone\n", "  RecordV6:\n    Type: AWS::Route53::RecordSet\n"},
	} {
		t.Run(m.rule+"/"+m.new, func(t *testing.T) {
			if n := strings.Count(string(source), m.old); n != 1 {
				t.Fatalf("%q stands in the template %d times, want once", m.old, n)
			}
			doc, err := parse([]byte(strings.Replace(string(source), m.old, m.new, 1)))
			if err != nil {
				t.Fatal(err)
			}
			var p problems
			if edgeRules[m.rule](doc, &p); len(p) == 0 {
				t.Errorf("the rule %q does not see %q", m.rule, m.new)
			}
		})
		delete(untried, m.rule)
	}
	for name := range untried {
		t.Errorf("no mutation breaks the rule %q", name)
	}
}
