-- Which run a ledger is of, whichever version wrote it.
select l.run from pgconvoy.run l;
