//! Whether a move fits into the time that there is.

use std::time::Duration;

use crate::model::{Finding, how_long};
use crate::plan::Prediction;

fn seconds(us: u64) -> u64 {
    us.div_ceil(1_000_000)
}

/// `from 20 min to 2 h`: no more exact than it is known.
fn range(prediction: &Prediction) -> String {
    format!(
        "from {} to {}",
        how_long(seconds(prediction.least_us)),
        how_long(seconds(prediction.most_us))
    )
}

/// The finding for a window.
pub fn finding(window: Duration, prediction: &Prediction) -> Finding {
    let likely = how_long(seconds(prediction.likely_us));
    let window_text = how_long(window.as_secs());
    let window_us = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
    let evidence = [format!(
        "predicted: {}, {}",
        range(prediction),
        prediction.ground.words()
    )];
    let shorten = "Make it shorter: settings of the target (see the other findings), more workers (-j) if both servers have more \
                   cores, --exclude-table-data for what can be moved later; or ask for more time.";
    let found = if prediction.least_us > window_us {
        Finding::blocker(
            "window",
            format!("the move does not fit into the window: about {likely} of {window_text}"),
            shorten,
        )
    } else if prediction.most_us > window_us {
        Finding::warning(
            "window",
            format!("the move may not fit into the window: about {likely} of {window_text}"),
            format!("Rehearse it to know. {shorten}"),
        )
    } else {
        Finding::note(
            "window",
            format!("the move should fit into the window: about {likely} of {window_text}"),
            "",
        )
    };
    found.with_evidence(evidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Severity;
    use crate::plan::Ground;

    #[test]
    fn what_cannot_fit_forbids_and_what_may_not_is_warned_of() {
        let minutes = |minutes: u64| minutes * 60_000_000;
        let prediction = Prediction {
            least_us: minutes(20),
            likely_us: minutes(41),
            most_us: minutes(120),
            ground: Ground::Rates,
        };
        for (window_min, severity) in [
            (19, Severity::Blocker),
            (20, Severity::Warning),
            (119, Severity::Warning),
            (120, Severity::Note),
        ] {
            let found = finding(Duration::from_secs(window_min * 60), &prediction);
            assert_eq!(found.severity, severity, "{window_min}");
        }
        let found = finding(Duration::from_secs(7200), &prediction);
        assert!(found.what.ends_with("about 41 min of 2 h"), "{found:?}");
        assert!(found.evidence[0].contains("not measured"), "{found:?}");
        // Nobody is to think that what takes three hours fits into two.
        let nearly_three = Prediction {
            likely_us: minutes(179),
            most_us: minutes(500),
            ..prediction
        };
        let found = finding(Duration::from_secs(7200), &nearly_three);
        assert!(found.what.ends_with("about 2 h 59 min of 2 h"), "{found:?}");
    }
}
