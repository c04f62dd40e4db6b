//! What came of assertions, as CI systems read it.

use quick_junit::{NonSuccessKind, Report as JUnit, TestCase, TestCaseStatus, TestSuite};

use super::{Judged, Report, write_broken};
use crate::cli::CliError;

/// The report: a suite for each document, a case for each assertion.
pub(super) fn text(report: &Report) -> Result<String, CliError> {
    let mut junit = JUnit::new("selvedge test");
    for of_one in report.assertions.chunk_by(|a, b| a.test == b.test) {
        let mut suite = TestSuite::new(&*of_one[0].test);
        suite.add_test_cases(of_one.iter().map(case));
        junit.add_test_suite(suite);
    }
    junit.to_string().map_err(|error| CliError::Format { format: "JUnit", reason: error.to_string() })
}

fn case(Judged { test, name, place, failure, counterexamples, .. }: &Judged) -> TestCase {
    let status = match failure {
        None => TestCaseStatus::success(),
        Some(failure) => {
            let mut text = format!("{place}\n");
            counterexamples.iter().for_each(|broken| write_broken(&mut text, broken));
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(&**failure).set_description(text);
            status
        }
    };
    let mut case = TestCase::new(&**name, status);
    case.set_classname(&**test);
    case
}
