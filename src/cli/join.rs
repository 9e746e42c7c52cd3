//! Two things at once, without a race in what is told: whichever fails first, of two failures the first one's is the one.

use std::pin::pin;

use crate::failure::Failure;

/// Does both. If the first fails, the second is given up at once; if the second fails, the first is still waited for, because
/// its failure would be the one to tell.
pub async fn at_once<A, B>(
    first: impl Future<Output = Result<A, Failure>>,
    second: impl Future<Output = Result<B, Failure>>,
) -> Result<(A, B), Failure> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (first, second) = tokio::select! {
        biased;
        first = &mut first => (first?, second.await),
        second = &mut second => (first.await?, second),
    };
    Ok((first, second?))
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::*;

    fn failure(what: &str) -> Failure {
        Failure::defect(what.to_owned())
    }

    async fn late<T>(value: T) -> T {
        tokio::time::sleep(Duration::from_millis(10)).await;
        value
    }

    #[tokio::test]
    async fn of_two_failures_the_first_one_s_is_told() {
        let early: Result<(), Failure> = Err(failure("early"));
        let told = at_once(late(Err::<(), _>(failure("late"))), ready(early)).await;
        let told = told.expect_err("both fail").to_string();
        assert!(told.contains("late"), "{told}");
    }

    #[tokio::test]
    async fn nobody_waits_for_what_does_not_matter_any_more() {
        let never = pending::<Result<(), Failure>>();
        let told = at_once(ready(Err::<(), _>(failure("first"))), never).await;
        assert!(told.is_err());
    }

    #[tokio::test]
    async fn both_are_done() {
        let both = at_once(late(Ok(1)), ready(Ok(2))).await.expect("both");
        assert_eq!(both, (1, 2));
        let both = at_once(ready(Ok(1)), late(Ok(2))).await.expect("both");
        assert_eq!(both, (1, 2));
    }
}
