# Reads a list of texts that begin with a command of the AWS CLI, as JSON, and prints
# what is wrong with each, by what botocore knows of AWS. The values of structures are
# not looked at.
import json, shlex, sys
from botocore import xform_name
from botocore.session import Session

GLOBAL = {"output", "query", "region", "profile"}
session, problems = Session(), []

for text in json.load(sys.stdin):
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|;)\n")
    lexer.whitespace, lexer.whitespace_split, words = " \t", True, []
    for word in lexer:
        if word[0] in "|;)\n":
            break
        words.append(word)
    command = " ".join(words)
    try:
        model = session.get_service_model(words[1])
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        shape = model.operation_model(operations[words[2]]).input_shape
    except Exception as e:
        problems.append(f"{command}: no such operation: {e}")
        continue
    members = {xform_name(name, "-"): (name, member) for name, member in shape.members.items()}
    required, rest = set(shape.required_members), words[3:]
    while rest:
        flag, rest = rest[0].removeprefix("--"), rest[1:]
        name, member = members.get(flag) or members.get(flag.removeprefix("no-"), (None, None))
        if name is None and flag not in GLOBAL:
            problems.append(f"{command}: {words[2]} takes no {flag}")
            break
        required.discard(name)
        if member is not None and member.type_name == "boolean":
            continue
        if not rest or rest[0].startswith("--"):
            problems.append(f"{command}: --{flag} has no value")
            break
        value, rest = rest[0], rest[1:]
        if getattr(member, "enum", None) and value not in member.enum:
            problems.append(f"{command}: --{flag} is none of {', '.join(member.enum)}")
        if member is not None and member.type_name in ("integer", "long") and not value.startswith(("{", "$")) and not value.isdigit():
            problems.append(f"{command}: --{flag} is no number")
    for name in sorted(required):
        if not shape.members[name].metadata.get("idempotencyToken"):
            problems.append(f"{command}: it lacks --{xform_name(name, '-')}")

json.dump(problems, sys.stdout)
