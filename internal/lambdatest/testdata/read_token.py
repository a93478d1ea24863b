"""Reads an access token as every program may: with one GetItem.

Usage: read_token.py TABLE CONNECTION_ID PROVIDER. Prints the attributes of the
contract, with the types that they have in DynamoDB.
"""

import json
import sys

import boto3

table, connection_id, provider = sys.argv[1:]
names = ["access_token", "token_type", "expires_at", "scopes", "connection_status"]
item = boto3.client("dynamodb").get_item(
    TableName=table,
    Key={"connection_id": {"S": connection_id}, "provider": {"S": provider}},
    ProjectionExpression=", ".join(names),
)["Item"]
print(json.dumps({name: item[name] for name in names if name in item}))
