package template

import (
	"os"
	"strings"
	"testing"
)

// mutations break a copy of the template in memory, each the named rule. The old
// text stands in the template exactly once.
var mutations = []struct {
	rule     string
	old, new string
}{
	{"a function is a small arm64 bootstrap that make builds", "Runtime: provided.al2023", "Runtime: provided.al2"},
	{"a function is a small arm64 bootstrap that make builds", "Architectures: [arm64]", "Architectures: [x86_64]"},
	{"a function is a small arm64 bootstrap that make builds", "  CallbackFunction:\n", "  ReturnFunction:\n"},
	{"a function is a small arm64 bootstrap that make builds", "LogFormat: JSON", "LogFormat: Text"},
	{"a function waits as long as its work may take", "Timeout: 29", "Timeout: 31"},
	{"a function waits as long as its work may take", "Timeout: 15", "Timeout: 3"},
	{"no function reserves concurrency", "Timeout: 29", "Timeout: 29\n      ReservedConcurrentExecutions: 5"},
	{"no function knows the URL of the API in front of it", "REFRESH_CONCURRENCY: !Ref RefreshConcurrency",
		"REFRESH_CONCURRENCY: !Sub https://${Api}.execute-api.${AWS::Region}.amazonaws.com"},
	{"no function knows the URL of the API in front of it", "REFRESH_CONCURRENCY: !Ref RefreshConcurrency", "REFRESH_CONCURRENCY: !GetAtt Api.ApiEndpoint"},
	{"no function may be told to call private addresses", "REFRESH_CONCURRENCY: !Ref RefreshConcurrency",
		"REFRESH_CONCURRENCY: !Ref RefreshConcurrency\n          ALLOW_PRIVATE_PROVIDERS: true"},
	{"the garbage collector knows the memory", "MemorySize: 1024", "MemorySize: 512"},
	{"the garbage collector knows the memory", "          GOMEMLIMIT: 820MiB\n", ""},
	{"the garbage collector knows the memory", "MemorySize: 512", "MemorySize: 256"},
	{"the garbage collector knows the memory", "Timeout: 29", "Timeout: 29\n      MemorySize: 128"},
	{"the routes are those of the contract", "Path: /callback/{provider}", "Path: /callback"},
	{"the routes are those of the contract", "Path: /authorize/{provider}\n            Method: ANY", "Path: /authorize/{provider}\n            Method: GET"},
	{"the routes are those of the contract", "        Sweep:\n          Type: ScheduleV2",
		"        Open:\n          Type: HttpApi\n          Properties:\n            Path: /refresh\n        Sweep:\n          Type: ScheduleV2"},
	{"the routes are those of the contract", "Timeout: 29", "Timeout: 29\n      FunctionUrlConfig: {AuthType: NONE}"},
	{"the API bounds its calls", "ThrottlingBurstLimit: 100", "ThrottlingBurstLimit: 5000"},
	{"the redirect URI has no stage in it", "StageName: $default", "StageName: prod"},
	{"the access log holds no query", "$context.path", "$context.requestOverride.querystring"},
	{"the access log holds no query", "$context.error.message", "$context.error.message ?$context.queryString"},
	{"the access log holds no query", "/aws/vendedlogs/${AWS::StackName}/api", "/evergrant/${AWS::StackName}/api"},
	{"a sweep a minute, never replayed", "            OmitName: true\n", ""},
	{"a sweep a minute, never replayed", "            OmitName: true\n", "            Name: sweep\n"},
	{"a sweep a minute, never replayed", "rate(1 minute)", "rate(10 minutes)"},
	{"a sweep a minute, never replayed", "              MaximumRetryAttempts: 0", "              MaximumRetryAttempts: 185"},
	{"a sweep a minute, never replayed", "      EventInvokeConfig:\n        MaximumRetryAttempts: 0", "      EventInvokeConfig:\n        MaximumRetryAttempts: 2"},
	{"fan-out is off unless it is asked for", "  FanOut:\n    Type: String\n    Default: \"false\"", "  FanOut:\n    Type: String\n    Default: \"true\""},
	{"fan-out is off unless it is asked for", "Type: AWS::Lambda::EventSourceMapping\n    Condition: FanOut\n", "Type: AWS::Lambda::EventSourceMapping\n"},
	{"fan-out is off unless it is asked for", "  ShardDeadLetters:\n    Type: AWS::SQS::Queue\n    Condition: FanOut\n", "  ShardDeadLetters:\n    Type: AWS::SQS::Queue\n"},
	{"fan-out is off unless it is asked for", `SHARD_QUEUE_URL: !If [FanOut, !Ref ShardQueue, ""]`, "SHARD_QUEUE_URL: !Ref ShardQueue"},
	{"workers get hints, and bring broken ones back", "FunctionResponseTypes: [ReportBatchItemFailures]", "FunctionResponseTypes: []"},
	{"workers get hints, and bring broken ones back", "VisibilityTimeout: 540", "VisibilityTimeout: 30"},
	{"workers get hints, and bring broken ones back", "maxReceiveCount: 5", "maxReceiveCount: 1"},
	{"workers get hints, and bring broken ones back", "MaximumConcurrency: !Ref FanOutWorkers", "MaximumConcurrency: 2"},
	{"workers get hints, and bring broken ones back", "      SqsManagedSseEnabled: true\n      # Six", "      # Six"},
	{"a role allows what its function does, and nothing else", "sqs:ReceiveMessage, sqs:SendMessage]", "sqs:ReceiveMessage, sqs:SendMessage, sqs:PurgeQueue]"},
	{"a role allows what its function does, and nothing else", "sqs:ReceiveMessage, sqs:SendMessage]", "sqs:ReceiveMessage]"},
	{"the connections table is that of the contract", "{ AttributeName: connection_id, KeyType: HASH }", "{ AttributeName: provider, KeyType: HASH }"},
	{"the connections table is that of the contract", "{ AttributeName: due_at, AttributeType: N }", "{ AttributeName: due_at, AttributeType: S }"},
	{"the connections table is that of the contract", "ProjectionType: KEYS_ONLY", "ProjectionType: ALL"},
	{"the connections table is that of the contract", "PointInTimeRecoveryEnabled: true", "PointInTimeRecoveryEnabled: false"},
	{"the connections table is that of the contract", "DeletionProtectionEnabled: !If [IsProduction, true, false]", "DeletionProtectionEnabled: false"},
	{"the state table is that of the contract", "AttributeName: expires_at", "AttributeName: ttl"},
	{"the state table is that of the contract", "{ AttributeName: id, KeyType: HASH }", "{ AttributeName: pk, KeyType: HASH }"},
	{"connections and their keys outlive the stack", "has to connect again.\n    DeletionPolicy: Retain", "has to connect again.\n    DeletionPolicy: Delete"},
	{"connections and their keys outlive the stack", "  SealSecret:\n    Type: AWS::SecretsManager::Secret\n    DeletionPolicy: Retain\n",
		"  SealSecret:\n    Type: AWS::SecretsManager::Secret\n"},
	{"keys are generated in the form that the functions read", "GenerateSecretString:\n        SecretStringTemplate: '{\"current\":\"k1\"}'\n        GenerateStringKey: k1\n" +
		"        PasswordLength: 64\n        ExcludePunctuation: true\n\n  ConnectSecret",
		"SecretString: '{\"current\":\"k1\",\"k1\":\"0\"}'\n\n  ConnectSecret"},
	{"each function has a role and a log group of its own", "Role: !GetAtt AuthorizeRole.Arn", "Role: !GetAtt ConnectionsRole.Arn"},
	{"each function has a role and a log group of its own", "Role: !GetAtt AuthorizeRole.Arn",
		"Role: !GetAtt AuthorizeRole.Arn\n      Policies: [AmazonDynamoDBFullAccess]"},
	{"each function has a role and a log group of its own", "Policies:\n        - PolicyName: refresh",
		"ManagedPolicyArns: [!Sub \"arn:${AWS::Partition}:iam::aws:policy/AdministratorAccess\"]\n      Policies:\n        - PolicyName: refresh"},
	{"each function has a role and a log group of its own", "LogGroup: !Ref RefreshLogs", "LogGroup: !Ref CallbackLogs"},
	{"a role allows what its function does, and nothing else", "Action: dynamodb:Query\n", "Action: [dynamodb:Query, dynamodb:Scan]\n"},
	{"a role allows what its function does, and nothing else", "Action: dynamodb:Query", "Action: dynamodb:Scan"},
	{"a role allows what its function does, and nothing else", "${ConnectionsTable.Arn}/index/due", "${ConnectionsTable.Arn}"},
	{"a role allows what its function does, and nothing else", "                  - !Ref ConnectSecret\n", ""},
	{"a role allows what its function does, and nothing else", "Action: secretsmanager:BatchGetSecretValue", "Action: secretsmanager:DescribeSecret"},
	{"no permission has a wildcard but those with a reason", "Action: dynamodb:Query", "Action: dynamodb:*"},
	{"no permission has a wildcard but those with a reason", "Resource: !Sub ${ConnectionsTable.Arn}/index/due", `Resource: "*"`},
	{"no permission has a wildcard but those with a reason", "${ConnectionsTable.Arn}/index/due", "${ConnectionsTable.Arn}/index/*"},
	{"no permission has a wildcard but those with a reason", "                  - !Ref ConnectSecret\n",
		"                  - !Sub arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:*\n"},
	{"no permission has a wildcard but those with a reason", "Action: dynamodb:Query", "NotAction: dynamodb:Query"},
	{"no permission has a wildcard but those with a reason", "Action: secretsmanager:BatchGetSecretValue", "Action: secretsmanager:GetSecretValue"},
	{"no permission has a wildcard but those with a reason", "Action: secretsmanager:BatchGetSecretValue", "Action: secretsmanager:DescribeSecret"},
	{"no permission has a wildcard but those with a reason", "Action: secretsmanager:BatchGetSecretValue", "Action: secretsmanager:BatchGet*"},
	{"no permission has a wildcard but those with a reason", "Action: secretsmanager:BatchGetSecretValue",
		"Action: [secretsmanager:BatchGetSecretValue, secretsmanager:GetSecretValue]"},
	{"logs end, and nothing else has a name", "Timeout: 29", "Timeout: 29\n      FunctionName: callback"},
	{"logs end, and nothing else has a name", "/aws/lambda/${AWS::StackName}/refresh\n      RetentionInDays: !Ref LogRetentionDays",
		"/aws/lambda/${AWS::StackName}/refresh"},
	{"an unsigned authorization is impossible in production", `ALLOW_UNSIGNED_CONNECT: !If [UnsignedConnect, "true", "false"]`,
		"ALLOW_UNSIGNED_CONNECT: !Ref AllowUnsignedConnect"},
	{"an unsigned authorization is impossible in production", "    - !Not [!Condition IsProduction]\n", ""},
	{"a parameter is described, constrained, grouped and used", "    Description: Days for which function logs and access logs are kept.\n", ""},
	{"a parameter is described, constrained, grouped and used", "Parameters: [DueShards, RefreshConcurrency, FanOut, FanOutWorkers]", "Parameters: [DueShards]"},
	{"a parameter is described, constrained, grouped and used", "    MaxValue: 512\n", ""},
	{"a parameter is described, constrained, grouped and used", "REFRESH_CONCURRENCY: !Ref RefreshConcurrency", "REFRESH_CONCURRENCY: 128"},
	{"the outputs are what a host needs", "  ConnectionsTableArn:\n", "  TableArn:\n"},
	{"the outputs are what a host needs", `!Sub "${PublicUrl}/callback/{provider}"`, `!Sub "${PublicUrl}/callback"`},
}

func TestABrokenTemplateIsCaught(t *testing.T) {
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	untried := map[string]bool{}
	for name := range rules {
		untried[name] = true
	}
	for _, m := range mutations {
		t.Run(m.rule+"/"+m.new, func(t *testing.T) {
			if n := strings.Count(string(source), m.old); n != 1 {
				t.Fatalf("%q stands in the template %d times, want once", m.old, n)
			}
			doc, err := parse([]byte(strings.Replace(string(source), m.old, m.new, 1)))
			if err != nil {
				t.Fatal(err)
			}
			check, ok := rules[m.rule]
			if !ok {
				t.Fatal("there is no such rule")
			}
			var p problems
			if check(doc, &p); len(p) == 0 {
				t.Errorf("the rule %q does not see %q", m.rule, m.new)
			}
		})
		delete(untried, m.rule)
	}
	for name := range untried {
		t.Errorf("no mutation breaks the rule %q", name)
	}
}
