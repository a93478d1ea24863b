"""Translates a SAM template as AWS does when a stack is created.

It takes the path of the template and, on standard input, the parameters of each
stack by its name; it prints the CloudFormation template of each stack.
"""

import json
import sys

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

with open(sys.argv[1], encoding="utf-8") as f:
    source = f.read()


def translate(parameters):
    template = yaml_parse(source)
    # `sam deploy` puts the place of each upload here; the translator wants one.
    template.get("Globals", {}).get("Function", {}).pop("CodeUri", None)
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = f"s3://artifacts/{name}.zip"
    return Translator({}, Parser()).translate(template, parameters)


json.dump({name: translate(parameters) for name, parameters in json.load(sys.stdin).items()}, sys.stdout)
