//! The headline and the lines below it.

use super::super::model::Report;
use super::super::wording::head::{event, facts};
use super::page::{Page, Style};

pub(super) fn write(page: &mut Page, report: &Report) {
    let cause = report.fault.cause.as_deref().unwrap_or_default();
    let separator = if cause.is_empty() { "" } else { ": " };
    page.parts(&[
        (Style::Strong, &event(report)),
        (Style::Strong, separator),
        (Style::Alarm, cause),
    ]);
    for fact in facts(report) {
        let label = format!("  {:<8} ", fact.label);
        page.parts(&[(Style::Label, &label), (Style::Plain, &fact.text)]);
    }
}
