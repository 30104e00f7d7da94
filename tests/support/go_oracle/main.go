// Executes templates with Go's own text/template, for tests that compare with it.
//
// A line of JSON in, {"template", "system", "messages"}; a line of JSON out, {"text"} or {"error"}
// and where it arose, "parse" or "execute".
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

type message struct {
	Role       string
	Content    string
	Thinking   string
	Images     []string
	ToolCalls  []string
	ToolName   string
	ToolCallID string
}

type question struct {
	Template string
	System   string
	Messages []*message
}

type answer struct {
	Text  string `json:"text"`
	Error string `json:"error"`
	At    string `json:"at"`
}

func execute(asked question) answer {
	parsed, err := template.New("").Option("missingkey=zero").Parse(asked.Template)
	if err != nil {
		return answer{Error: err.Error(), At: "parse"}
	}
	data := map[string]any{
		"System":   asked.System,
		"Messages": asked.Messages,
		"Tools":    []string{},
		"Response": "",
		"Think":    false,
	}
	var text strings.Builder
	if err := parsed.Execute(&text, data); err != nil {
		return answer{Error: err.Error(), At: "execute"}
	}
	return answer{Text: text.String()}
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked question
		if err := json.Unmarshal(line, &asked); err != nil {
			panic(err)
		}
		if err := out.Encode(execute(asked)); err != nil {
			panic(err)
		}
	}
}
