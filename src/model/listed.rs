//! Names in a sentence: how they are joined, and what becomes of those that are too many for one.
//!
//! | | all of them | too many |
//! |---|---|---|
//! | `listed` | `a, b and c` | never |
//! | `first_listed` | `a, b and c` | `a, b and 17 more` |
//! | `some_of`, `and_more` | `a, b, c` | `a, b and 17 more` |
//!
//! The first two are read as a part of the sentence, the others behind a colon or in brackets.

use super::Rows;

/// All of them; `nothing` if there are none.
pub fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// The same, of at most so many.
pub fn first_listed(names: &[String], most: usize) -> String {
    if names.len() > most {
        some_of(names, most)
    } else {
        listed(names)
    }
}

/// The first so many, and how many more there are.
pub fn some_of(names: &[String], most: usize) -> String {
    let (first, rest) = names.split_at(most.min(names.len()));
    and_more(first, rest.len() as u64)
}

/// Some, of which there are so many more.
pub fn and_more(names: &[String], more: u64) -> String {
    let listed = names.join(", ");
    match more {
        0 => listed,
        more => format!("{listed} and {} more", Rows(more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_for_a_sentence_is_counted() {
        let names = |count: usize| -> Vec<String> {
            let letters = ["a", "b", "c", "d"].map(str::to_owned);
            letters.into_iter().cycle().take(count).collect()
        };
        for (count, all, first, some) in [
            (0, "nothing", "nothing", ""),
            (1, "a", "a", "a"),
            (2, "a and b", "a and b", "a, b"),
            (3, "a, b and c", "a, b and c", "a, b, c"),
            (
                4,
                "a, b, c and d",
                "a, b, c and 1 more",
                "a, b, c and 1 more",
            ),
        ] {
            assert_eq!(listed(names(count)), all);
            assert_eq!(first_listed(&names(count), 3), first);
            assert_eq!(some_of(&names(count), 3), some);
        }
        assert_eq!(some_of(&names(1237), 3), "a, b, c and 1,234 more");
    }

    #[test]
    fn what_is_listed_need_not_be_text() {
        assert_eq!(listed([10, 11]), "10 and 11");
        assert_eq!(and_more(&["a".to_owned()], 5), "a and 5 more");
    }
}
