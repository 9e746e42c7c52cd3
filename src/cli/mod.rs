pub mod inspect;
pub mod move_database;
