CREATE VIEW raw_ratings AS
SELECT 'ratings.csv' AS file, line, text, reason, "user", item, rating, timestamp FROM ratings_file;
