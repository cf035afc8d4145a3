# Lists a Makefile's targets with their `##` comments, under the headings that `##@` lines give.
BEGIN { FS = ":.*## "; print "Usage: make VERB [ENV=local] [OPTION=value ...]" }
/^##@ / { printf "\n%s\n", substr($0, 5) }
/^##  / { print substr($0, 3) }
/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $1, $2 }
