INSERT INTO raw_truth
SELECT 'truth.csv', line, text, reason, "user", item, timestamp, probability FROM truth_file;
