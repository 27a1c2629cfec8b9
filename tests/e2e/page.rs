//! `report.html` in a browser: hostile names stay text, search and folding work, a phone and the dark suffice.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::support::{Browser, Sickbay, fixture, run, skip, spawn};

/// The page of the only report.
#[track_caller]
fn exported(sickbay: &Sickbay) -> PathBuf {
    let path = sickbay.scratch().join("page.html");
    let outcome = run(sickbay.verb("export").args(["--format", "html", "-o"]).arg(&path));
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    path
}

#[test]
fn hostile_names_stay_text() {
    let Some(mut browser) = Browser::start() else {
        return skip("chromium is not installed");
    };
    let sickbay = Sickbay::new();
    let program = sickbay.scratch().join("<script>x\u{202e}\u{1b}[2J");
    std::fs::copy(fixture("die"), &program).unwrap();
    let attack = "<script>window.owned=1</script><img src=x onerror='window.owned=1'>";
    let invalid = OsStr::from_bytes(b"\xff\xfe\"><svg onload=window.owned=1>");
    let arguments = [OsStr::new("null-write"), OsStr::new(attack), invalid];
    let sickbay = sickbay.option("--format", "json,html");
    assert_eq!(sickbay.run(&program, &arguments).code(), 139);
    let report = sickbay.only_report();
    assert!(report.text("process.comm").starts_with("<script>x"));

    browser.open(&report.directory().join("report.html"));
    assert_eq!(browser.evaluate("document.scripts.length"), 1);
    assert_eq!(browser.evaluate("typeof window.owned"), "undefined");
    let foreign = "document.querySelectorAll('img, iframe, object, embed, link, body script ~ *').length";
    assert_eq!(browser.evaluate(foreign), 0);
    let text = browser.evaluate("document.body.textContent");
    let text = text.as_str().unwrap();
    assert!(
        text.contains(attack) && text.contains("\u{fffd}\u{fffd}\"><svg onload"),
        "{text}"
    );
    assert!(text.contains("<script>x\\u{202e}\\x1b[2J"), "{text}");
    assert!(!text.contains(['\u{202e}', '\u{1b}']));
    let title = browser.evaluate("document.title");
    assert!(title.as_str().unwrap().contains("<script>x"));
}

#[test]
fn threads_are_searched_and_folded() {
    let Some(mut browser) = Browser::start() else {
        return skip("chromium is not installed");
    };
    let mut program = spawn(Command::new(fixture("locks")).args(["cycle", "3"]));
    program.stdout_line("ready");
    let sickbay = Sickbay::new();
    assert_eq!(sickbay.capture(program.pid()).1.code(), 0);
    browser.open(&exported(&sickbay));

    let shown =
        "[...document.querySelectorAll('details.thread')].filter((group) => group.checkVisibility()).length";
    assert_eq!(browser.evaluate(shown), 4);
    let search = |browser: &mut Browser, wish: &str| {
        let type_in = format!(
            "search.value = {}; search.dispatchEvent(new Event('input')); found.value",
            json!(wish)
        );
        browser.evaluate(&type_in)
    };
    assert_eq!(
        search(&mut browser, "WORKER-2"),
        "2 of 4 threads",
        "itself and who waits for it"
    );
    assert_eq!(browser.evaluate(shown), 2);
    assert_eq!(browser.evaluate("CSS.highlights.get('found').size >= 2"), true);
    assert_eq!(search(&mut browser, "no such thread"), "0 of 4 threads");
    assert_eq!(browser.evaluate(shown), 0);
    assert_eq!(search(&mut browser, ""), "");
    assert_eq!(browser.evaluate(shown), 4);

    let open = "document.querySelectorAll('details.thread[open]').length";
    assert_eq!(browser.evaluate(open), 0);
    assert_eq!(browser.evaluate(&format!("fold.click(); {open}")), 4);
    assert_eq!(browser.evaluate(&format!("fold.click(); {open}")), 0);
    let by_hand = "document.querySelector('details.thread summary').click()";
    assert_eq!(browser.evaluate(&format!("{by_hand}; {open}")), 1);

    let deadlock = browser.evaluate("document.querySelector('.deadlock').textContent");
    assert!(
        deadlock
            .as_str()
            .unwrap()
            .contains("which waits for the mutex at"),
        "{deadlock}"
    );
    let picture = "['g', 'line'].map((shape) => document.querySelectorAll('svg.graph ' + shape).length)";
    assert_eq!(browser.evaluate(picture), json!([6, 6]));
}

/// Nothing sticks out on a phone, and the colours follow the reader's wish.
#[test]
fn a_phone_and_the_dark_suffice() {
    let Some(mut browser) = Browser::start() else {
        return skip("chromium is not installed");
    };
    let sickbay = Sickbay::new();
    assert_eq!(sickbay.run(fixture("workers"), &["4", "2"]).code(), 139);
    let page = exported(&sickbay);
    let phone = json!({"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true});
    browser.ask("Emulation.setDeviceMetricsOverride", phone);
    let colour = |browser: &mut Browser, scheme: &str| {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        browser.ask("Emulation.setEmulatedMedia", json!({ "features": features }));
        browser.open(&page);
        browser.evaluate("getComputedStyle(document.body).backgroundColor")
    };
    assert_eq!(colour(&mut browser, "light"), "rgb(246, 246, 244)");
    assert_eq!(colour(&mut browser, "dark"), "rgb(18, 19, 22)");
    let width = "[innerWidth, document.documentElement.scrollWidth]";
    assert_eq!(browser.evaluate(width), json!([390, 390]));
    let sections = browser.evaluate("[...document.querySelectorAll('section')].map((section) => section.id)");
    let sections: Vec<&str> = sections
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|id| id.as_str())
        .collect();
    assert_eq!(
        sections[..4],
        ["summary", "stack", "code", "registers"],
        "{sections:?}"
    );
}
