//! One change to each of some tables, made on a server, and an account of what each of them was.
//!
//! A change that the table does not allow (a value that its key has already, a row of another partition) is given up for
//! the next one; a change that changes nothing is none.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pgconvoy::model::{QualifiedName, quote_ident, quote_literal};
use serde_json::Value;

use super::dice::Dice;
use super::tables::{Column, Table, names};
use super::types::Pool;

/// What was done to a table.
#[derive(Debug)]
pub struct Injury {
    pub table: QualifiedName,
    pub has_plain_key: bool,
    pub deed: Deed,
    /// The row that was changed or deleted, as it was: each column's text.
    pub before: Option<Image>,
    /// The row that was changed or added, as it is.
    pub after: Option<Image>,
}

/// The text of each column of a row.
pub type Image = BTreeMap<String, Option<String>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Update,
    Delete,
    Add,
}

impl Injury {
    /// The columns in which a changed row is another one.
    pub fn changed(&self) -> Vec<String> {
        let (Some(before), Some(after)) = (&self.before, &self.after) else {
            return Vec::new();
        };
        let differs = |name: &&String| before.get(*name) != after.get(*name);
        before.keys().filter(differs).cloned().collect()
    }
}

/// Makes the first of some changes that is possible, and says which that was.
const HURT: &str = r"
set search_path = ''; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; set timezone = 'UTC';
set extra_float_digits = 3; set bytea_output = 'hex'; set lc_monetary = 'C';
create function pg_temp.hurt(rows text, image text, place float8, attempts text[]) returns jsonb language plpgsql as $hurt$
declare
    at tid; before jsonb; after jsonb; attempt text; number int := 0; touched int;
begin
    set constraints all immediate;
    execute format('select t.ctid, %s from %s offset floor(%s * (select count(*) from %s)) limit 1', image, rows, place, rows)
        into at, before;
    foreach attempt in array attempts loop
        begin
            execute attempt || ' returning ' || image into after using at;
            get diagnostics touched = row_count;
            if touched <> 1 or (attempt like 'update%' and after = before) then
                raise exception 'nothing has changed';
            end if;
            return jsonb_build_object('attempt', number, 'before', before, 'after', after);
        exception when others then
            number := number + 1;
        end;
    end loop;
    return null;
end $hurt$;
";

/// Changes to some tables of a database, as a script that says what it did.
pub struct Plan<'a> {
    pub script: String,
    victims: Vec<(&'a Table, Vec<Deed>)>,
}

impl<'a> Plan<'a> {
    /// One change to each.
    pub fn new(victims: impl IntoIterator<Item = &'a Table>, pool: &Pool, dice: &mut Dice) -> Self {
        let mut plan = Self {
            script: HURT.to_owned(),
            victims: Vec::new(),
        };
        for table in victims {
            let attempts = attempts(table, pool, dice);
            let statements: Vec<String> =
                attempts.iter().map(|(_, sql)| quote_literal(sql)).collect();
            let _ = writeln!(
                plan.script,
                "select coalesce(pg_temp.hurt({}, {}, 0.{}, array[{}])::text, '-');",
                quote_literal(&format!("only {} as t", table.name)),
                quote_literal(&image(table)),
                dice.digits(9),
                statements.join(", ")
            );
            let deeds = attempts.into_iter().map(|(deed, _)| deed).collect();
            plan.victims.push((table, deeds));
        }
        plan
    }

    /// What was done, from what the script said.
    pub fn done(&self, said: &str) -> Vec<Injury> {
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), self.victims.len(), "a line for each: {said}");
        let told = self.victims.iter().zip(lines);
        told.filter(|(_, line)| *line != "-")
            .map(|((table, deeds), line)| {
                let told: Value = serde_json::from_str(line).expect("the function returns JSON");
                let number = told["attempt"]
                    .as_u64()
                    .and_then(|number| usize::try_from(number).ok());
                let deed = deeds[number.expect("a number")];
                let image =
                    |side: &str| serde_json::from_value(told[side].clone()).expect("an image");
                Injury {
                    table: table.name.clone(),
                    has_plain_key: table.has_plain_key,
                    deed,
                    before: (deed != Deed::Add).then(|| image("before")),
                    after: (deed != Deed::Delete).then(|| image("after")),
                }
            })
            .collect()
    }
}

fn attempts(table: &Table, pool: &Pool, dice: &mut Dice) -> Vec<(Deed, String)> {
    let name = &table.name;
    let given: Vec<&Column> = table
        .columns
        .iter()
        .filter(|column| column.is_given())
        .collect();
    let mut attempts = Vec::new();
    if !given.is_empty() {
        for _ in 0..8 {
            let column = given[dice.index(given.len())];
            let value = literal(column, pool, dice);
            let set = quote_ident(&column.name);
            attempts.push((
                Deed::Update,
                format!("update only {name} as t set {set} = {value} where t.ctid = $1"),
            ));
        }
    }
    let delete = (
        Deed::Delete,
        format!("delete from only {name} as t where t.ctid = $1"),
    );
    let mut added = Vec::new();
    if given.is_empty() {
        added.push(format!("insert into {name} as t default values"));
    } else {
        let names = names(&given);
        added.push(format!(
            "insert into {name} as t ({names}) overriding system value select {names} from only {name} as old where old.ctid = $1"
        ));
        for _ in 0..4 {
            let values: Vec<String> = given
                .iter()
                .map(|column| literal(column, pool, dice))
                .collect();
            let values = values.join(", ");
            added.push(format!(
                "insert into {name} as t ({names}) overriding system value values ({values})"
            ));
        }
    }
    if dice.one_in(2) {
        added.reverse();
    }
    let added = added.into_iter().map(|sql| (Deed::Add, sql));
    match dice.below(4) {
        0 => attempts.insert(0, delete),
        1 => attempts = added.chain([delete]).collect(),
        _ => attempts.extend(added.chain([delete])),
    }
    attempts
}

fn literal(column: &Column, pool: &Pool, dice: &mut Dice) -> String {
    if dice.one_in(5) {
        "null".to_owned()
    } else {
        quote_literal(&pool.value(&column.of, dice))
    }
}

/// An expression for [`Image`]. A row of nothing but NULLs is no NULL, and output functions keep what casts to text don't.
fn image(table: &Table) -> String {
    let pairs = table.columns.iter().map(|column| {
        let of = format!("t.{}", quote_ident(&column.name));
        format!(
            "{}, case num_nulls({of}) when 0 then format('%s', {of}) end",
            quote_literal(&column.name)
        )
    });
    format!(
        "jsonb_build_object({})",
        pairs.collect::<Vec<_>>().join(", ")
    )
}
