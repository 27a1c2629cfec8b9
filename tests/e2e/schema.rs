//! The schema of the configuration, as a validator that is not ours reads it: it agrees with `sickbay check`.

use std::process::Command;

use crate::support::{Sickbay, run, skip};

/// Reads the schema from the first file and a TOML document from each of the others; prints whether each is valid.
const VALIDATE: &str = "\
import json, sys, tomllib, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
print(json.dumps([validator.is_valid(tomllib.load(open(file, 'rb'))) for file in sys.argv[2:]]))
";

/// Documents and whether they are good.
const DOCUMENTS: [(&str, bool); 22] = [
    ("", true),
    (
        "[store]\nmax_size = \"2GiB\"\nmax_age = \"0s\"\nservice_max_reports = 0\n",
        true,
    ),
    ("[[service]]\nname = \"a\"\non_fault = \"isolate\"\n", true),
    (
        "[[service]]\nname = \"a\"\non_fault = [\"throw\", \"exit\"]\n[[service.rule]]\naction = \"report\"\n",
        true,
    ),
    (
        "[[service]]\nname = \"a\"\n[[service.rule]]\nsignals = \"segv\"\nthreads = [\"a\", \"b\"]\ndeliver_as = \"TERM\"\n",
        true,
    ),
    (
        "[[service]]\nname = \"a\"\n[service.report]\ncmdline = false\nformats = [\"html\"]\nfault_stack = \"2 MiB\"\n",
        true,
    ),
    (
        "[[service]]\nname = \"a\"\n[service.report]\ncmdline = \"mask\"\n[service.logs]\nfiles = [\"/var/log/*.log\"]\n",
        true,
    ),
    ("[stroe]\n", false),
    ("[store]\nmaxsize = \"1GiB\"\n", false),
    ("[store]\nmax_size = 5\n", false),
    ("[store]\nmax_size = \"5\"\n", false),
    ("[store]\nmax_age = \"5 minutes\"\n", false),
    ("[store]\nstate_dir = \"relative\"\n", false),
    ("[store]\nservice_max_reports = -1\n", false),
    ("[[service]]\nunit = \"a.service\"\n", false),
    ("[service]\nname = \"a\"\n", false),
    ("[[service]]\nname = \"a\"\npid = 0\n", false),
    ("[[service]]\nname = \"a\"\non_fault = \"delivr\"\n", false),
    ("[[service]]\nname = \"a\"\non_fault = []\n", false),
    (
        "[[service]]\nname = \"a\"\n[[service.rule]]\nthreads = 3\naction = \"deliver\"\n",
        false,
    ),
    (
        "[[service]]\nname = \"a\"\n[[service.rule]]\nthreads = \"x\"\n",
        false,
    ),
    (
        "[[service]]\nname = \"a\"\n[service.report]\nexits = \"all\"\n",
        false,
    ),
];

#[test]
fn it_agrees_with_the_check() {
    if !run(Command::new("python3").args(["-c", "import tomllib, jsonschema"]))
        .code()
        .eq(&0)
    {
        return skip("python3 has no jsonschema");
    }
    let sickbay = Sickbay::new();
    let schema = sickbay.scratch().join("schema.json");
    let printed = run(Command::new(Sickbay::program()).args(["config", "schema"]));
    std::fs::write(&schema, &printed.stdout).unwrap();
    let defaults = run(Command::new(Sickbay::program()).args(["config", "defaults"])).stdout;
    let uncommented: String = defaults
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with(' '))
                .unwrap_or(line)
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let documents: Vec<(&str, bool)> = DOCUMENTS
        .into_iter()
        .chain([(uncommented.as_str(), true)])
        .collect();
    let mut validator = Command::new("python3");
    validator.args(["-c", VALIDATE]).arg(&schema);
    for (number, (text, good)) in documents.iter().enumerate() {
        let file = sickbay.scratch().join(format!("{number}.toml"));
        std::fs::write(&file, text).unwrap();
        let checked = run(Command::new(Sickbay::program()).arg("check").arg(&file));
        assert_eq!(checked.code() == 0, *good, "{text}\n{checked:#?}");
        validator.arg(&file);
    }
    let validated = run(&mut validator);
    let validated: Vec<bool> = serde_json::from_str(&validated.stdout).unwrap();
    assert_eq!(validated.len(), documents.len());
    for ((text, good), valid) in documents.iter().zip(validated) {
        assert_eq!(valid, *good, "{text}");
    }
}
