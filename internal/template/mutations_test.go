//go:build !race

// Two hundred templates are read one after the other: the race detector finds
// nothing there, and takes a minute for it. `make check` plays them without.

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
	{"no function reserves concurrency unless it is asked for", "Timeout: 29", "Timeout: 29\n      ReservedConcurrentExecutions: 5"},
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
	{"workers get hints, and bring broken ones back", "BatchSize: 1\n      FunctionResponseTypes: [ReportBatchItemFailures]", "BatchSize: 1\n      FunctionResponseTypes: []"},
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
	{"connections and their keys outlive the stack", "may have grown users.\n    DeletionPolicy: Retain", "may have grown users.\n    DeletionPolicy: Delete"},
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
	{"a parameter is described, constrained, grouped and used", "Parameters: [DueShards, RefreshConcurrency, RefreshReservedConcurrency, FanOut, FanOutWorkers]", "Parameters: [DueShards]"},
	{"a parameter is described, constrained, grouped and used", "    MaxValue: 512\n", ""},
	{"a parameter is described, constrained, grouped and used", "REFRESH_CONCURRENCY: !Ref RefreshConcurrency", "REFRESH_CONCURRENCY: 128"},
	{"the outputs are what a host needs", "  ConnectionsTableArn:\n", "  TableArn:\n"},
	{"the outputs are what a host needs", `!Sub "${PublicUrl}/callback/{provider}"`, `!Sub "${PublicUrl}/callback"`},
	{"no function reserves concurrency unless it is asked for", "ReservedConcurrentExecutions: !If [ReservesConcurrency, !Ref RefreshReservedConcurrency, !Ref AWS::NoValue]", "ReservedConcurrentExecutions: !Ref RefreshReservedConcurrency"},
	{"no function reserves concurrency unless it is asked for", `Default: "0" # quoted`, `Default: "2" # quoted`},
	{"no function knows the URL of the API in front of it", "COMPLETION_URL: !Ref CompletionUrl", "COMPLETION_URL: !Sub https://${Api}.execute-api.${AWS::Region}.amazonaws.com"},
	{"the routes are those of the contract", "          Type: DynamoDB\n", "          Type: Kinesis\n"},
	{"the API bounds its calls", "        ANY /callback/{provider}:\n          ThrottlingRateLimit: !Ref CallbackRateLimit\n          ThrottlingBurstLimit: !Ref CallbackBurst\n", ""},
	{"the API bounds its calls", "ThrottlingRateLimit: !Ref AuthorizeRateLimit", "ThrottlingRateLimit: 10000"},
	{"a sweep a minute, never replayed", "            DeadLetterConfig:\n              Arn: !GetAtt SweepDeadLetters.Arn\n", ""},
	{"a sweep a minute, never replayed", "          OnFailure: { Type: SQS, Destination: !GetAtt SweepDeadLetters.Arn }", "          OnFailure: { Type: SQS, Destination: !GetAtt ShardDeadLetters.Arn }"},
	{"a sweep a minute, never replayed", "MessageRetentionPeriod: 86400", "MessageRetentionPeriod: 60"},
	{"workers get hints, and bring broken ones back", "FunctionName: !Ref RefreshFunction.Alias", "FunctionName: !Ref ConnectionsFunction.Alias"},
	{"everybody calls the alias", "FunctionName: !Ref RefreshFunction.Alias", "FunctionName: !Ref RefreshFunction"},
	{"everybody calls the alias", "    AutoPublishAlias: live\n", ""},
	{"everybody calls the alias", "      AutoPublishAliasAllProperties: true\n      Description: Claims", "      Description: Claims"},
	{"everybody calls the alias", "            Resource: !Ref ConnectionsFunction.Alias\n          - !If", "            Resource: !GetAtt ConnectionsFunction.Arn\n          - !If"},
	{"what a parameter changes reaches the alias", `!Sub "${PublicUrl} ${CompletionUrl} ${DueShards} ${Tracing}"`, `!Sub "${PublicUrl} ${CompletionUrl} ${Tracing}"`},
	{"what a parameter changes reaches the alias", `!Sub "${DueShards} ${Tracing}"`, `!Sub "${DueShards} ${Tracing} ${LogRetentionDays}"`},
	{"what a parameter changes reaches the alias", "      SourceKMSKeyArn: !If [Never, !Sub \"${EventBus} ${PublicUrl} ${CustomDomain} ${Tracing}\", !Ref AWS::NoValue]\n", ""},
	{"what a parameter changes reaches the alias", "the provider (${Environment}, unsigned ${AllowUnsignedConnect}).", "the provider."},
	{"what a parameter changes reaches the alias", "connections (domain ${CustomDomain}).", "connections."},
	{"what a parameter changes reaches the alias", "(fan-out ${FanOut}, reserved ${RefreshReservedConcurrency})", "(fan-out ${FanOut})"},
	{"what a parameter changes reaches the alias", "    Tracing: !Ref Tracing\n", "    Tracing: !Ref Tracing\n    Tags: { Environment: !Ref Environment }\n"},
	{"what a parameter changes reaches the alias", `  Never: !Equals [!Ref AWS::StackName, ""]`, "  Never: !Equals [!Ref AWS::StackName, stack]"},
	{"a deployment to production is gradual, and goes back when errors ring", "Type: !If [IsProduction, Canary10Percent5Minutes, AllAtOnce]", "Type: AllAtOnce"},
	{"a deployment to production is gradual, and goes back when errors ring", "Type: !If [IsProduction, Linear10PercentEvery1Minute, AllAtOnce]", "Type: !If [IsProduction, Canary10Percent5Minutes, AllAtOnce]"},
	{"a deployment to production is gradual, and goes back when errors ring", "        Alarms: !If [Alarms, [!Ref CallbackErrorsAlarm], [!Ref AWS::NoValue]]\n", "        Type: AllAtOnce\n"},
	{"a deployment to production is gradual, and goes back when errors ring", "[!Ref ConnectionsErrorsAlarm]", "[!Ref CallbackErrorsAlarm]"},
	{"a deployment to production is gradual, and goes back when errors ring", "        PassthroughCondition: true\n", ""},
	{"a host name of one's own is the only way in", "DisableExecuteApiEndpoint: !If [HasCustomDomain, true, false]", "DisableExecuteApiEndpoint: false"},
	{"a host name of one's own is the only way in", "SecurityPolicy: TLS_1_2", "SecurityPolicy: TLS_1_0"},
	{"a host name of one's own is the only way in", "      Stage: !Ref Api.Stage", "      Stage: prod"},
	{"a host name of one's own is the only way in", "      MutualTlsAuthentication: !If [HasTrustStore, { TruststoreUri: !Ref TrustStore }, !Ref AWS::NoValue]\n", ""},
	{"a host name of one's own is the only way in", "      ApiId: !Ref Api\n      Stage", "      ApiId: !Ref Api\n      ApiMappingKey: connect\n      Stage"},
	{"the host is told of every change", `{"lease_id":{"S":[{"exists":false}]}}`, `{"lease_id":{"S":[{"exists":false}]},"refreshed_at":{"N":[{"exists":false}]}}`},
	{"the host is told of every change", `{"count":{"N":["3"]}}`, `{"count":{"N":[3]}}`},
	{"the host is told of every change", "StreamViewType: NEW_AND_OLD_IMAGES", "StreamViewType: NEW_IMAGE"},
	{"the host is told of every change", "StartingPosition: TRIM_HORIZON", "StartingPosition: LATEST"},
	{"the host is told of every change", "            MaximumRecordAgeInSeconds: 86400\n", "            MaximumRecordAgeInSeconds: 86400\n            MaximumRetryAttempts: 2\n"},
	{"the host is told of every change", "            FunctionResponseTypes: [ReportBatchItemFailures]\n            Dest", "            Dest"},
	{"the host is told of every change", "            DestinationConfig:\n              OnFailure: { Type: SQS, Destination: !GetAtt EventsDeadLetters.Arn }\n", ""},
	{"the host is told of every change", "            - !Ref PublicUrl\n            - !If", "            - https://connect.example.com\n            - !If"},
	{"what an option does not need is not there", "  DomainRecord:\n    Type: AWS::Route53::RecordSet\n    Condition: HasHostedZone\n", "  DomainRecord:\n    Type: AWS::Route53::RecordSet\n    Condition: HasCustomDomain\n"},
	{"what an option does not need is not there", "  TableKeyPolicy:\n    Type: AWS::IAM::ManagedPolicy\n    Condition: HasKmsKey\n", "  TableKeyPolicy:\n    Type: AWS::IAM::ManagedPolicy\n"},
	{"what an option does not need is not there", "    Condition: Dashboard\n", ""},
	{"what an option does not need is not there", "  TracingPolicy:\n    Type: AWS::IAM::ManagedPolicy\n    Condition: Tracing\n", "  TracingPolicy:\n    Type: AWS::IAM::ManagedPolicy\n"},
	{"what an option does not need is not there", "StreamSpecification: !If [TellsHost, { StreamViewType: NEW_AND_OLD_IMAGES }, !Ref AWS::NoValue]", "StreamSpecification: { StreamViewType: NEW_AND_OLD_IMAGES }"},
	{"what an option does not need is not there", `  TellsHost: !Not [!Equals [!Ref EventBus, ""]]`, `  TellsHost: !Equals [!Ref EventBus, ""]`},
	{"it can be deployed with every option", "  EventsFunction:\n    Type: AWS::Serverless::Function\n    Condition: TellsHost\n", "  EventsFunction:\n    Type: AWS::Serverless::Function\n"},
	{"it can be deployed with every option", "  EventsDeadLetters:\n    Type: AWS::SQS::Queue\n    Condition: TellsHost\n", "  EventsDeadLetters:\n    Type: AWS::SQS::Queue\n    Condition: FanOut\n"},
	{"it can be deployed with every option", "!If [TellsHost, !GetAtt EventsFunction.Arn, !Ref AWS::NoValue]", "!GetAtt EventsFunction.Arn"},
	{"it can be deployed with every option", "Events: !If [TellsHost, !Ref EventsFunction, none]", "Events: !Ref EventsFunction"},
	{"it can be deployed with every option", "    Default: 12000\n", "    Default: 1\n"},
	{"it can be deployed with every option", "  CustomDomainNeedsItsCertificate:\n    RuleCondition: !Not [!Equals [!Ref CustomDomain, \"\"]]\n    Assertions:\n      - Assert: !Not [!Equals [!Ref CertificateArn, \"\"]]\n        AssertDescription: CustomDomain needs CertificateArn.\n", ""},
	{"what is encrypted, warmed and limited is what was asked for", "      WarmThroughput: !If [IsWarm, { ReadUnitsPerSecond: !Ref WarmReads, WriteUnitsPerSecond: !Ref WarmWrites }, !Ref AWS::NoValue]\n", ""},
	{"what is encrypted, warmed and limited is what was asked for", "          OnDemandThroughput: !If [LimitsWrites, { MaxWriteRequestUnits: !Ref MaxWrites }, !Ref AWS::NoValue]\n", ""},
	{"what is encrypted, warmed and limited is what was asked for", "      SSESpecification: !If [HasKmsKey, { SSEEnabled: true, SSEType: KMS, KMSMasterKeyId: !Ref KmsKeyArn }, !Ref AWS::NoValue]\n      TimeToLive", "      TimeToLive"},
	{"what is encrypted, warmed and limited is what was asked for", "      KmsKeyId: !If [HasKmsKey, !Ref KmsKeyArn, !Ref AWS::NoValue]\n      Description: !Sub Sealing", "      Description: !Sub Sealing"},
	{"what is encrypted, warmed and limited is what was asked for", `[!Ref MaxWrites, "0"]`, `[!Ref MaxWrites, "1"]`},
	{"traces are sent where they are asked for", "    Tracing: !Ref Tracing\n", "    Tracing: Active\n"},
	{"each may do what it does, and nothing that others do", "                Action: [dynamodb:DescribeStream, dynamodb:GetRecords, dynamodb:GetShardIterator]\n", "                Action: [dynamodb:DescribeStream, dynamodb:GetRecords]\n"},
	{"each may do what it does, and nothing that others do", "                Condition:\n                  StringEquals: { \"events:source\": evergrant }\n", ""},
	{"each may do what it does, and nothing that others do", "Roles: [!Ref CallbackRole, !Ref RefreshRole, !Ref ConnectionsRole]", "Roles: [!Ref CallbackRole, !Ref RefreshRole]"},
	{"each may do what it does, and nothing that others do", "            Action: [kms:Decrypt, kms:DescribeKey, kms:Encrypt, kms:GenerateDataKey, kms:ReEncryptFrom, kms:ReEncryptTo]\n            Resource: !Ref KmsKeyArn\n            Condition:\n              StringEquals: { \"kms:ViaService\": !Sub \"dynamodb.${AWS::Region}.${AWS::URLSuffix}\" }\n", "            Action: [kms:Decrypt, kms:DescribeKey, kms:Encrypt, kms:GenerateDataKey, kms:ReEncryptFrom, kms:ReEncryptTo]\n            Resource: !Ref KmsKeyArn\n"},
	{"each may do what it does, and nothing that others do", "                - Sid: OpenStream\n                  Effect: Allow\n                  Action: [kms:Decrypt, kms:DescribeKey]\n", "                - Sid: OpenStream\n                  Effect: Allow\n                  Action: kms:DescribeKey\n"},
	{"each may do what it does, and nothing that others do", "- !Ref EventBus\n", "- arn:aws:events:*:*:event-bus/*\n"},
	{"each may do what it does, and nothing that others do", "          - Sid: LookAtKeys\n            Effect: Allow\n            Action: secretsmanager:DescribeSecret", "          - Sid: LookAtKeys\n            Effect: Allow\n            Action: secretsmanager:GetSecretValue"},
	{"each may do what it does, and nothing that others do", "Action: logs:FilterLogEvents", "Action: logs:GetLogEvents"},
	{"a role allows what its function does, and nothing else", "Action: [dynamodb:GetItem, dynamodb:Query, dynamodb:Scan, dynamodb:UpdateItem]", "Action: [dynamodb:GetItem, dynamodb:Query, dynamodb:UpdateItem]"},
	{"a role allows what its function does, and nothing else", "Action: [dynamodb:GetItem, dynamodb:Query, dynamodb:Scan, dynamodb:UpdateItem]", "Action: [dynamodb:DeleteItem, dynamodb:GetItem, dynamodb:Query, dynamodb:Scan, dynamodb:UpdateItem]"},
	{"a role allows what its function does, and nothing else", "              - Sid: KeepFailedSweeps\n                Effect: Allow\n                Action: sqs:SendMessage\n                Resource: !GetAtt SweepDeadLetters.Arn\n", ""},
	{"a role allows what its function does, and nothing else", "Resource: [!GetAtt CallbackLogs.Arn, !GetAtt RefreshLogs.Arn, !GetAtt ConnectionsLogs.Arn]", "Resource: [!GetAtt CallbackLogs.Arn, !GetAtt RefreshLogs.Arn]"},
	{"a reader gets the documented GetItem, and nothing else", "            Resource: !GetAtt ConnectionsTable.Arn\n            Condition:\n              ForAllValues:StringEquals:\n                dynamodb:Attributes:\n                  [connection_id, provider, access_token,", "            Resource: !GetAtt ConnectionsTable.Arn\n            Condition:\n              ForAllValues:StringEquals:\n                dynamodb:Attributes:\n                  [connection_id, provider, refresh_token_sealed, access_token,"},
	{"a reader gets the documented GetItem, and nothing else", "            Resource: !GetAtt ConnectionsTable.Arn\n            Condition:\n              ForAllValues:StringEquals:\n                dynamodb:Attributes:\n                  [connection_id, provider, access_token, token_type,", "            Resource: !GetAtt ConnectionsTable.Arn\n            Condition:\n              ForAllValues:StringEquals:\n                dynamodb:Attributes:\n                  [connection_id, provider, access_token,"},
	{"a reader gets the documented GetItem, and nothing else", "              StringEquals: { \"dynamodb:Select\": SPECIFIC_ATTRIBUTES }\n              \"Null\": { \"dynamodb:Attributes\": \"false\" }\n", "              \"Null\": { \"dynamodb:Attributes\": \"false\" }\n"},
	{"a reader gets the documented GetItem, and nothing else", "              \"Null\": { \"dynamodb:Attributes\": \"false\" }\n", ""},
	{"a reader gets the documented GetItem, and nothing else", `"${aws:PrincipalTag/connection_id}:*"`, `"${aws:PrincipalTag/connection_id}*"`},
	{"a reader gets the documented GetItem, and nothing else", "              ForAllValues:StringLike:\n                dynamodb:LeadingKeys: [\"${aws:PrincipalTag/connection_id}\", \"${aws:PrincipalTag/connection_id}:*\"]\n", ""},
	{"a reader gets the documented GetItem, and nothing else", `"dynamodb:LeadingKeys": "false", `, ""},
	{"a wildcard is defended in the comment of its statement", "              # rescue/*: each has a name of its own.\n              - Sid: Spill\n                Effect: Allow\n                Action: [secretsmanager:CreateSecret, secretsmanager:DeleteSecret]", "              - Sid: Spill\n                Effect: Allow\n                Action: [secretsmanager:CreateSecret, secretsmanager:DeleteSecret]"},
	{"a wildcard is defended in the comment of its statement", "              # Lambda looks for it. IAM knows no resource for this action, so \"*\" is the\n              # only one it takes. It opens nothing: it returns the names of streams.\n", ""},
	{"a wildcard is defended in the comment of its statement", "              # \":*\" ends at a colon: acct_42 does not read acct_420.\n", ""},
	{"a wildcard is defended in the comment of its statement", "                Action: dynamodb:Query\n", "                Action: dynamodb:Q*\n"},
	{"no permission has a wildcard but those with a reason", "Action: [xray:PutTelemetryRecords, xray:PutTraceSegments]", "Action: [xray:PutTelemetryRecords, xray:PutTraceSegments, s3:GetObject]"},
	{"no permission has a wildcard but those with a reason", "          - Sid: SignTickets\n            Effect: Allow", "          - Effect: Allow"},
	{"each function has a role and a log group of its own", "Role: !GetAtt EventsRole.Arn", "Role: !GetAtt RefreshRole.Arn"},
	{"each function has a role and a log group of its own", "LogGroup: !Ref EventsLogs", "LogGroup: !Ref RefreshLogs"},
	{"logs end, and nothing else has a name", "  Overview:\n    Type: AWS::CloudWatch::Dashboard\n    Condition: Dashboard\n    Properties:\n", "  Overview:\n    Type: AWS::CloudWatch::Dashboard\n    Condition: Dashboard\n    Properties:\n      DashboardName: evergrant\n"},
	{"logs end, and nothing else has a name", "      Description: Sends traces to X-Ray.\n", "      Description: Sends traces to X-Ray.\n      ManagedPolicyName: traces\n"},
	{"an unsigned authorization is impossible in production", "  IsProduction: !Equals [!Ref Environment, prod]", "  IsProduction: !Equals [!Ref Environment, production]"},
	{"the outputs are what a host needs", "  TenantReaderPolicyArn:\n", "  TenantPolicyArn:\n"},
	{"the outputs are what a host needs", `    Value: !Sub "${ConnectionsFunction}:live"`, "    Value: !Ref ConnectionsFunction"},
	{"a parameter is described, constrained, grouped and used", "      TrustStore: { default: Certificate authorities of its clients }\n", ""},
	{"a parameter is described, constrained, grouped and used", "    AllowedPattern: ^$|^s3://[a-z0-9.-]{3,63}/.+$\n", ""},
	{"the alarms are those of the list", "  HeartbeatAlarm:\n", "  Heartbeat:\n"},
	{"the alarms are those of the list", "  NeedsPersonAlarm:\n    Type: AWS::CloudWatch::Alarm\n    Condition: Alarms\n", "  NeedsPersonAlarm:\n    Type: AWS::CloudWatch::Alarm\n    Condition: FanOut\n"},
	{"the alarms are those of the list", "  EventsAgeAlarm:\n", "  EventsAge:\n"},
	{"the alarms are those of the list", "Threshold: 600,", "Threshold: 6000,"},
	{"the alarms are those of the list", "Threshold: 1, TreatMissingData: breaching", "Threshold: 1, TreatMissingData: notBreaching"},
	{"the alarms are those of the list", "Threshold: 85500,", "Threshold: 90500,"},
	{"the alarms are those of the list", "MetricName: RotationLost, Dimensions: [{ Name: FunctionName, Value: !Ref ConnectionsFunction }]", "MetricName: RotationLost, Dimensions: [{ Name: FunctionName, Value: !Ref CallbackFunction }]"},
	{"the alarms are those of the list", "Statistic: Minimum, Period: 60", "Statistic: Maximum, Period: 60"},
	{"the alarms are those of the list", ", FILL(events, 0)", ""},
	{"the alarms are those of the list", "Value: !GetAtt ShardDeadLetters.QueueName", "Value: !GetAtt ShardQueue.QueueName"},
	{"an alarm says what it is, and asks for nothing that is not there", "docs/operations.md, SpilledAlarm.", "see the docs."},
	{"an alarm says what it is, and asks for nothing that is not there", "MetricName: FailedPercent,", "MetricName: FailedShare,"},
	{"an alarm says what it is, and asks for nothing that is not there", "{ Id: untold, ReturnData: false", "{ Id: dead, ReturnData: false"},
	{"an alarm says what it is, and asks for nothing that is not there", `!If [FanOut, ", FILL(shards, 0)", ""]`, `", FILL(shards, 0)"`},
	{"an alarm says what it is, and asks for nothing that is not there", `  HasAlarmTopic: !Not [!Equals [!Ref AlarmTopicArn, ""]]`, `  HasAlarmTopic: !Equals [!Ref AlarmTopicArn, ""]`},
	{"an alarm says what it is, and asks for nothing that is not there", "  Alarms:\n    Type: String\n    Default: \"true\"", "  Alarms:\n    Type: String\n    Default: \"false\""},
	{"the dashboard shows metrics that there are", `MetricName=\"Refreshes\"`, `MetricName=\"Refreshed\"`},
	{"the dashboard shows metrics that there are", `["Evergrant","Remaining"`, `["Evergrant","Left"`},
	{"the dashboard shows metrics that there are", `{"widgets":[`, `{"widgets":[,`},
	{"a function gets the settings that it takes, and no others", "COMPLETION_URL: !Ref", "COMPLETE_URL: !Ref"},
	{"a function gets the settings that it takes, and no others", "          EVENT_BUS: !Ref EventBus\n", ""},
	{"a function gets the settings that it takes, and no others", "          RETURN_ORIGINS: !Ref ReturnOrigins\n",
		"          RETURN_ORIGINS: !Ref ReturnOrigins\n          STATE_TABLE: !Ref StateTable\n"},
}

func TestABrokenTemplateIsCaught(t *testing.T) {
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	untried := map[string]bool{}
	for _, name := range ruleNames() {
		untried[name] = true
	}
	for _, m := range mutations {
		t.Run(m.rule+"/"+m.new, func(t *testing.T) {
			if n := strings.Count(string(source), m.old); n != 1 {
				t.Fatalf("%q stands in the template %d times, want once", m.old, n)
			}
			p, err := check(m.rule, strings.Replace(string(source), m.old, m.new, 1))
			if err != nil {
				t.Fatal(err)
			}
			if len(p) == 0 {
				t.Errorf("the rule %q does not see %q", m.rule, m.new)
			}
		})
		delete(untried, m.rule)
	}
	for name := range untried {
		t.Errorf("no mutation breaks the rule %q", name)
	}
}
