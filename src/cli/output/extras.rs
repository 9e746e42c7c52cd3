//! What a run leaves besides its record and its report: the page for people, and the figures for a collector.
//!
//! Nothing about them makes a run fail.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::Utc;

use super::Listener;
use crate::event::{Event, What};
use crate::report::{Record, Report, html};

impl Listener {
    /// For people. It can be made again of the record at any time, so nothing about it makes a run fail: not a disk without
    /// room, and not a defect of the page.
    pub(super) fn write_page(&mut self, report: &Report) {
        let course = std::mem::take(&mut self.course).build();
        let written = catch_unwind(AssertUnwindSafe(|| {
            let page = html::page(Record {
                report,
                course: &course,
                running: None,
                remarks: &[],
            });
            self.run_dir.look().write_page(&page)
        }));
        match written {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => self.mention(failure.to_string()),
            Err(_) => self.mention("there is no report.html: rendering it failed".to_owned()),
        }
    }

    /// Brings the figures up to date: those of the end, or of now.
    pub(super) fn measure(&mut self, report: Option<&Report>) {
        let Some(metrics) = &mut self.metrics else {
            return;
        };
        if let Some(text) = metrics.write(report.unwrap_or_else(|| self.report.so_far())) {
            self.mention(text);
        }
    }

    /// Says something to whoever watches that is no part of the record.
    fn mention(&mut self, text: String) {
        self.display.event(&Event {
            at: Utc::now(),
            what: What::Note { text },
        });
    }
}
