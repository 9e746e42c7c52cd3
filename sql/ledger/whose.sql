-- Which run a ledger is of, and which version wrote it: every version's says that. Whether it is one, catalog/ledger_schema.sql says.
select l.run, l.pgconvoy_version from pgconvoy.run l;
