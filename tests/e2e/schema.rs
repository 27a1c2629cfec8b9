//! The schema of the configuration, as a validator that is not ours reads it: it agrees with `sickbay check`.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Sickbay, run, skip};

/// Reads the schema from a file and a TOML document from stdin; exit status 0 if it is valid, 1 if not.
const VALIDATE: &str = "\
import json, sys, tomllib, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
document = tomllib.loads(sys.stdin.read())
errors = list(jsonschema.Draft202012Validator(schema).iter_errors(document))
sys.exit(1 if errors else 0)
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
    let documents = DOCUMENTS.iter().copied().chain([(uncommented.as_str(), true)]);
    for (text, good) in documents {
        let file = sickbay.scratch().join("f.toml");
        std::fs::write(&file, text).unwrap();
        let checked = run(Command::new(Sickbay::program()).arg("check").arg(&file));
        assert_eq!(checked.code() == 0, good, "{text}\n{checked:#?}");
        let mut validator = Command::new("python3")
            .args(["-c", VALIDATE])
            .arg(&schema)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        validator
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let status = validator.wait().unwrap().code();
        assert_eq!(status, Some(i32::from(!good)), "{text}");
    }
}
