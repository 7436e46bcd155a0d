// Package mandrill speaks the API of Mailchimp Transactional, which was called Mandrill and whose
// API still is: it checks messages before they are sent, sends each once, and sorts the answers.
//
// The API is described at https://mailchimp.com/developer/transactional/api/ and in the OpenAPI
// description at https://github.com/mailchimp/mailchimp-client-lib-codegen.
package mandrill
